package facts

import (
	"strconv"
	"strings"
)

// MaxURLBytes is the longest URL that is looked at.
const MaxURLBytes = 8192

// A URL is an absolute URL with a host that a call names.
type URL struct {
	Scheme   string // lower case; "" when there is none
	Host     Host
	Port     int    // the scheme's own when none is written; 0 when unknown
	Path     string // as written, percent-encodings included; "/" when empty
	UserInfo bool   // something stands before an "@": http://good.example@evil.example/
	Opaque   bool   // programs differ in what they would fetch, or it is no such URL
	Why      string // why it is opaque, for people; "" otherwise
}

var defaultPorts = map[string]int{"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}

// ParseURL reads raw by RFC 3986 and no more leniently: a backslash, a space, a
// control or non-ASCII character, an empty host, an unusual port, another scheme
// than http, https, ws, wss and ftp, a "." or ".." segment in the path, encoded or
// not, are all opaque, because parsers differ in what they make of them. What was
// read before the fault is kept, so that a rule can still deny by it.
func ParseURL(raw string) URL {
	u := URL{}
	if len(raw) > MaxURLBytes {
		return u.opaque("the URL is too long")
	}
	if why := checkURLBytes(raw); why != "" {
		return u.opaque(why)
	}
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || !isScheme(scheme) {
		return u.opaque("the URL has no scheme")
	}
	u.Scheme = lower(scheme)
	port, known := defaultPorts[u.Scheme]
	if !known {
		return u.opaque("the scheme " + strconv.Quote(u.Scheme) + " is not one of http, https, ws, wss and ftp")
	}
	if rest, ok = strings.CutPrefix(rest, "//"); !ok {
		return u.opaque("the scheme is not followed by //")
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest := rest[:end], rest[end:]
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		u.UserInfo = true
		if strings.IndexByte(authority[:i], '@') >= 0 {
			return u.opaque("the URL has two @ before its path")
		}
		authority = authority[i+1:]
	}
	name, digits, hasPort := splitPort(authority)
	u.Host = ParseHost(name)
	if hasPort {
		if port, ok = parsePort(digits); !ok {
			return u.opaque("the port is not a number from 1 to 65535")
		}
	}
	u.Port = port
	if u.Host.Opaque {
		return u.opaque(u.Host.Why)
	}
	if rest != "" && rest[0] != '/' && strings.Contains(rest, "@") {
		return u.opaque("an @ behind a ? or # that follows the host is a user name to some parsers")
	}
	u.Path = rest
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		u.Path = rest[:i]
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if dotSegment(u.Path) {
		return u.opaque("the path has a . or .. segment")
	}
	return u
}

func (u URL) opaque(why string) URL {
	u.Opaque, u.Why = true, why
	return u
}

// checkURLBytes says why s holds a character that RFC 3986 does not know, or returns "".
func checkURLBytes(s string) string {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return "a % is not followed by two hexadecimal digits"
			}
		case isLetter(c), isDigit(c), strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0:
		default:
			return "the URL has the character " + strconv.QuoteToASCII(string(rune(c)))
		}
	}
	return ""
}

func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isLetter(c) && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// splitPort cuts the port off an authority without user information. A colon
// inside brackets belongs to the address.
func splitPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.IndexByte(s[i:], ']') >= 0 {
		return s, "", false
	}
	if h := s[:i]; strings.Contains(h, ":") && !strings.HasPrefix(h, "[") {
		return "", s[i+1:], true // an IPv6 address without brackets: no host can be told
	}
	return s[:i], s[i+1:], true
}

func parsePort(s string) (int, bool) {
	if s == "" || len(s) > 5 || s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil
}

// dotSegment reports whether a segment of path is "." or "..", where %2e is a
// dot and %2f and %5c end a segment too, as they do for some servers.
func dotSegment(path string) bool {
	if !strings.Contains(path, ".") && !strings.Contains(path, "%") {
		return false
	}
	for _, segment := range strings.Split(decoder.Replace(path), "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return true
		}
	}
	return false
}

var decoder = strings.NewReplacer("%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/")
