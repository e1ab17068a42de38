package facts

import (
	"path"
	"strings"
	"unicode/utf8"
)

// MaxPathBytes is the longest path that is looked at: PATH_MAX of Linux.
const MaxPathBytes = 4096

// A Path is a POSIX path that a call names, read without touching a file system:
// symbolic links are not resolved, and upper and lower case are different.
type Path struct {
	Clean  string // absolute, without ".", ".." or "//"; "" when opaque
	Opaque bool   // what file is meant cannot be told from the text
	Why    string // why it is opaque, for people; "" otherwise
}

// ParsePath reads raw as a path, a relative one against cwd. A relative path
// without an absolute cwd is opaque, and so is every spelling that some program
// would read in another way than this one: see checkPath.
func ParsePath(raw, cwd string) Path {
	if why := checkPath(raw); why != "" {
		return Path{Opaque: true, Why: why}
	}
	if raw[0] != '/' {
		switch why := checkPath(cwd); {
		case cwd == "":
			return Path{Opaque: true, Why: "the path is relative and no working directory is known"}
		case why != "":
			return Path{Opaque: true, Why: "in the working directory: " + why}
		case cwd[0] != '/':
			return Path{Opaque: true, Why: "the path is relative and so is the working directory"}
		}
		raw = cwd + "/" + raw
	}
	return Path{Clean: path.Clean(raw)}
}

// Under reports whether p is dir or lies below it, by whole components: "/srv/app2"
// is not under "/srv/app". It is false when p is opaque or dir is not a plain
// absolute path.
func (p Path) Under(dir string) bool {
	d := ParsePath(dir, "")
	if p.Opaque || d.Opaque || p.Clean == "" {
		return false
	}
	rest, ok := strings.CutPrefix(p.Clean, d.Clean)
	return ok && (d.Clean == "/" || rest == "" || rest[0] == '/')
}

// Base returns the last component, "/" for the root and "" when p is opaque.
func (p Path) Base() string {
	if p.Opaque || p.Clean == "" {
		return ""
	}
	return path.Base(p.Clean)
}

// checkPath says why s is no plain path, or returns "".
func checkPath(s string) string {
	switch {
	case s == "":
		return "the path is empty"
	case len(s) > MaxPathBytes:
		return "the path is too long"
	case !utf8.ValidString(s):
		return "the path is not UTF-8"
	case s[0] == '~':
		return "~ is another directory for each user"
	case len(s) > 1 && s[1] == ':' && isLetter(s[0]):
		return "the path names a Windows drive"
	case strings.Contains(s, "://"):
		return "the path looks like a URL"
	case s[0] == '$' || strings.Contains(s, "/$"):
		return "some programs replace a variable in the path"
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x20 || c == 0x7f:
			return "the path has a control character"
		case c == '\\':
			return "a backslash is a separator to some programs and a letter to others"
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			return "some programs decode a percent-encoding in the path"
		}
	}
	for name := range strings.SplitSeq(s, "/") {
		if why := checkName(name); why != "" {
			return why
		}
	}
	return ""
}

// checkName says why a component of a path is another file's name to Windows, or returns
// "": .env. and .env::$DATA are .env there, and ENV~1 may be.
func checkName(s string) string {
	switch {
	case s == "" || s == "." || s == "..":
	case s[len(s)-1] == '.' || s[len(s)-1] == ' ':
		return "Windows leaves out a dot or a blank at the end of a name"
	case strings.Contains(s, ":$"):
		return "the path names a stream of a file to Windows"
	case shortName(s):
		return "the path has the form of a short name of Windows, which is another file's"
	}
	return ""
}

// shortName reports whether a name has the form that Windows gives to long ones: PROGRA~1.
func shortName(s string) bool {
	base, extension, _ := strings.Cut(s, ".")
	name, digits, ok := strings.Cut(base, "~")
	return ok && name != "" && len(base) <= 8 && len(extension) <= 3 && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isHex(c byte) bool    { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
