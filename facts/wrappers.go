package facts

import "strings"

// A wrapper is a program or builtin that runs the command in its operands. Its
// options are listed in full from its manual: one that is not listed makes the
// command opaque, since nobody can tell then where the inner command begins.
type wrapper struct {
	flags    string // short options without a value
	values   string // short options with a value, attached or the next word
	long     string // long options without a value
	longWith string // long options with a value, behind = or the next word
	nothing  string // short options with which it runs nothing
	dash     bool   // a lone - is an option too
	assigns  bool   // NAME=value may stand before the command
	operands int    // words of its own before the command
	appends  bool   // more words come from standard input
	reads    string // options, short and long, whose value is a file that is read
	writes   string // and one that is written
}

var wrappers = map[string]wrapper{
	"sudo": {flags: "AbBEHnPS", values: "CDghpRTtrUu", nothing: "lvVKk", assigns: true,
		long: "askpass background bell preserve-env set-home non-interactive preserve-groups stdin", longWith: "preserve-env close-from chdir group host prompt chroot command-timeout type role other-user user"},
	"doas":    {flags: "n", values: "u", nothing: "LC"},
	"env":     {flags: "i0v", values: "u", long: "ignore-environment null debug", longWith: "unset", dash: true, assigns: true},
	"nohup":   {},
	"timeout": {flags: "fpv", values: "ks", long: "foreground preserve-status verbose", longWith: "kill-after signal", operands: 1},
	"nice":    {flags: "0123456789", values: "n", longWith: "adjustment"},
	"ionice":  {flags: "t", values: "cn", long: "ignore", longWith: "class classdata", nothing: "pPu"},
	"command": {flags: "p", nothing: "vV"},
	"builtin": {},
	"exec":    {flags: "cl", values: "a"},
	"time":    {flags: "apqv", values: "fo", long: "append portability quiet verbose", longWith: "format output", writes: "o output"},
	"xargs": {flags: "0oprtx", values: "adEILnPs", appends: true, reads: "a arg-file",
		long: "null open-tty interactive no-run-if-empty verbose exit", longWith: "arg-file delimiter max-args max-procs max-chars"},
	"stdbuf":  {values: "ioe", longWith: "input output error"},
	"setsid":  {flags: "cfw", long: "ctty fork wait"},
	"busybox": {},
	"toybox":  {},
}

type unwrapped int

const (
	innerCommand unwrapped = iota
	unknownOption
	runsNothing
)

// unwrap returns the inner command among args, the words behind a wrapper's name,
// and puts into sc what the wrapper does to it.
func (w *walker) unwrap(x wrapper, args []word, sc *scope) ([]word, unwrapped) {
	replace := "" // xargs -I
	for len(args) > 0 {
		a := args[0]
		if a.kind != literal {
			return nil, unknownOption
		}
		if a.text == "--" {
			args = args[1:]
			break
		}
		if a.text == "-" && x.dash {
			args = args[1:]
			continue
		}
		if len(a.text) < 2 || a.text[0] != '-' {
			break
		}
		name, value, used, what := x.option(a.text, args[1:])
		if what != innerCommand {
			return nil, what
		}
		switch {
		case name == "I":
			replace = value
		case listed(x.reads, name):
			sc.reads = w.grow(sc.reads, value)
		case listed(x.writes, name):
			sc.writes = w.grow(sc.writes, value)
		}
		args = args[1+used:]
	}
	for x.assigns && len(args) > 0 && strings.Contains(args[0].text, "=") {
		if args[0].kind != literal {
			return nil, unknownOption
		}
		name, _, _ := strings.Cut(args[0].text, "=")
		w.assignedName(name)
		sc.env = w.grow(sc.env, name)
		args = args[1:]
	}
	if len(args) < x.operands {
		return nil, unknownOption
	}
	for _, a := range args[:x.operands] {
		if a.kind != literal || strings.HasPrefix(a.text, "-") {
			return nil, unknownOption
		}
	}
	args = args[x.operands:]
	if len(args) == 0 {
		return nil, runsNothing
	}
	if x.appends {
		sc.stdin, sc.piped = nil, false // its input feeds xargs; the command's is /dev/null
		args = appended(args, replace)
	}
	return args, innerCommand
}

// option reads the option text; rest are the words behind it, of which used are
// taken for its value. name is the option that has the value, without dashes.
func (x wrapper) option(text string, rest []word) (name, value string, used int, what unwrapped) {
	if long, ok := strings.CutPrefix(text, "--"); ok {
		name, value, attached := strings.Cut(long, "=")
		switch {
		case attached && listed(x.longWith, name), !attached && listed(x.long, name):
			return name, value, 0, innerCommand
		case !attached && listed(x.longWith, name) && len(rest) > 0 && rest[0].kind == literal:
			return name, rest[0].text, 1, innerCommand
		}
		return "", "", 0, unknownOption
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case strings.IndexByte(x.nothing, c) >= 0:
			return string(c), "", 0, runsNothing
		case strings.IndexByte(x.flags, c) >= 0:
		case strings.IndexByte(x.values, c) < 0:
			return string(c), "", 0, unknownOption
		case i+1 < len(text):
			return string(c), text[i+1:], 0, innerCommand
		case len(rest) > 0 && rest[0].kind == literal:
			return string(c), rest[0].text, 1, innerCommand
		default:
			return string(c), "", 0, unknownOption
		}
	}
	return "", "", 0, innerCommand
}

func listed(list, name string) bool {
	for list != "" {
		var x string
		if x, list, _ = strings.Cut(list, " "); x == name {
			return true
		}
	}
	return false
}

// appended is args with what xargs adds: words in place of each replace, or at
// the end.
func appended(args []word, replace string) []word {
	out := append(make([]word, 0, len(args)+1), args...)
	if replace == "" {
		return append(out, word{kind: dynamic})
	}
	for i, a := range out {
		if strings.Contains(a.text, replace) {
			out[i] = word{kind: dynamic}
		}
	}
	return out
}

// runners run a command from their operands in a way that is not looked into, or
// change what the name of a later command means.
var runners = set(`alias unalias enable complete compgen bind noglob nocorrect repeat -
	at batch bwrap capsh cgexec chroot chrt coproc dbus-run-session doas-edit dumb-init entr expect fakeroot
	firejail flock gdb gosu linux32 linux64 ltrace nsenter numactl parallel pkexec prlimit proot rlwrap run0
	runcon runuser screen script setarch setpriv sg socat start-stop-daemon strace su-exec systemd-run
	taskset tini tmux unbuffer unshare watch xvfb-run`)
