package facts

import "strings"

// MayBegin reports whether the command's arguments may begin with words once the
// options before and between these are left out: "git -C . push" may begin with
// push. Nobody knows every program's options, so a word behind one counts as its
// value or not, whichever fits, and a word that is known only when it runs fits any.
// It finds too much (git -C push log) and is no ground to allow.
func (c Command) MayBegin(words ...string) bool {
	begun := make([]bool, len(words)+1) // begun[n]: the arguments so far may have been n of words, and options
	begun[0] = true
	behind := false // behind an option
	for _, arg := range c.Args {
		if begun[len(words)] {
			break
		}
		unknown := arg == "" || c.Pattern && strings.ContainsAny(arg, "*?[")
		option := len(arg) > 0 && (arg[0] == '-' || arg[0] == '+')
		for n := len(words); n >= 0; n-- {
			begun[n] = begun[n] && (option || behind || unknown) ||
				n > 0 && begun[n-1] && (arg == words[n-1] || unknown && !behind)
		}
		behind = option
	}
	return begun[len(words)]
}
