package facts

import (
	"strings"
)

// A value is a text as far as it is known. What stands for more than one text is one
// of the bytes below, which no command line holds: checkShell refuses them.
type value struct {
	text  string
	taint taint
}

const (
	anything = "\x00" // any text, also none
	some     = "\x01" // any text but none
	star     = "\x02" // an unquoted *
	mark     = "\x03" // an unquoted ?
	bracket  = "\x04" // an unquoted [
	home     = "\x05" // the home directory of whoever runs it
)

// A taint says where a value came from.
type taint uint8

const (
	fetched     taint = 1 << iota // over the network
	printed                       // a command printed it, or it was read
	fallback                      // another value may be in its place: ${x:-this}
	environment                   // the whole environment
	whole                         // a directory in the place of every file below it: find's
)

func exactly(s string) value { return value{text: s} }

// known reports whether v is one text.
func (v value) known() bool { return strings.IndexFunc(v.text, isOpen) < 0 }

// open reports whether v holds a stretch of which nothing is known.
func (v value) open() bool { return strings.ContainsAny(v.text, anything+some) }

func isOpen(r rune) bool { return r <= 0x05 }

func (v value) is(s string) bool { return v.text == s }

// word is v as Command.Args has it: patterns as written, "" when nothing is known.
func (v value) word() string {
	if v.open() {
		return ""
	}
	return patterns.Replace(v.text)
}

// shown is v for people.
func (v value) shown() string { return shown.Replace(v.text) }

// source is v as it would be written in a shell's code.
func (v value) source() string { return source.Replace(v.text) }

// least is v where all of which nothing is known is empty: a variable that is not set.
func (v value) least() string { return least.Replace(v.text) }

var (
	patterns = strings.NewReplacer(star, "*", mark, "?", bracket, "[", home, "~")
	shown    = strings.NewReplacer(anything, "…", some, "…", star, "*", mark, "?", bracket, "[", home, "~")
	source   = strings.NewReplacer(anything, "${_}", some, "${_:?}", star, "*", mark, "?", bracket, "[", home, "${HOME}")
	least    = strings.NewReplacer(anything, "")
	quoting  = strings.NewReplacer("*", star, "?", mark, "[", bracket)
)

// matches reports whether the pattern, in which star, mark and bracket are open, may
// match s. A bracket matches any byte: what it holds is skipped.
func matches(pattern, s string) bool {
	p, i := 0, 0
	star, from := -1, 0 // behind the last star, and how much of s it has taken
	for i < len(s) || p < len(pattern) {
		if p < len(pattern) {
			switch c := pattern[p]; c {
			case 0, 1, 2: // anything, some, star
				p++
				star, from = p, i
				continue
			case bracket[0]:
				if end := strings.IndexByte(pattern[p:], ']'); end > 0 && i < len(s) {
					p, i = p+end+1, i+1
					continue
				}
			default:
				if i < len(s) && (c == mark[0] || c == s[i]) {
					p, i = p+1, i+1
					continue
				}
			}
		}
		if star < 0 || from >= len(s) {
			return false
		}
		from++
		p, i = star, from
	}
	return true
}
