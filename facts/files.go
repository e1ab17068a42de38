package facts

import (
	"path"
	"strings"
)

// Files returns every text in the command that a program might take for a file's
// name: its arguments and redirections, what stands behind = : , or @ in them
// (--out=x, host:x, -F file=@x), and what is attached to a short option (-ox).
// Most are no files; a rule that denies by a name wants all that might be.
func (c Command) Files() []string {
	var files []string
	for _, list := range [][]string{c.Args, c.Reads, c.Writes} {
		for _, word := range list {
			files = append(files, word)
			rest := word
			if len(word) > 2 && word[0] == '-' && word[1] != '-' {
				rest = word[2:]
				files = append(files, rest)
			}
			for i := strings.IndexAny(rest, "=:,@"); i >= 0; i = strings.IndexAny(rest, "=:,@") {
				files = append(files, rest[:i])
				if rest = rest[i+1:]; !strings.ContainsAny(rest, "=:,@") {
					files = append(files, rest)
				}
			}
		}
	}
	return files
}

// Strays reports whether the command has a word that leads, or may lead, out of
// the directory cwd, "" when it is not known, wherever below cwd the command runs:
// an absolute path that is not under cwd, a relative one that goes up, a leading ~,
// a glob that may match "..", a word that is known only when it runs.
func (c Command) Strays(cwd string) bool {
	if c.Dynamic {
		return true
	}
	for _, f := range c.Files() {
		switch {
		case f == "" || f == "/dev/null":
		case f[0] == '/':
			if !ParsePath(f, "").Under(cwd) {
				return true
			}
		case f[0] == '~', strings.HasPrefix(path.Clean(f)+"/", "../"):
			return true
		case strings.HasPrefix(f, ".*"), strings.HasPrefix(f, ".?"), strings.HasPrefix(f, ".["),
			strings.Contains(f, "/.*"), strings.Contains(f, "/.?"), strings.Contains(f, "/.["):
			return true
		}
	}
	return false
}
