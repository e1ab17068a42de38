package facts

import (
	"path"
	"slices"
	"strings"
)

// run takes the wrappers off args and follows the command that is left.
func (w *follower) run(args []value, p place) {
	for {
		if len(p.via) > MaxShellDepth || len(args) > MaxShellWords {
			w.unknown("the command has too many wrappers or words")
			return
		}
		head := args[0]
		if head.taint&fallback != 0 && len(args) > 0 {
			w.unknown("the name of a command is known only when it runs")
		}
		if !head.known() || head.text == "" {
			w.nameless(args, p)
			return
		}
		if len(p.via) == 0 && w.called(head.text, args, p) {
			return
		}
		if v, ok := w.content(head.text); ok && strings.Contains(head.text, "/") {
			w.emit(args, p)
			w.script(v, args, p)
			return
		}
		name := strings.ToLower(strings.TrimSuffix(path.Base(head.text), ".exe"))
		wrap, ok := wrappers[name]
		if !ok {
			wrap, ok = furtherWrappers[name]
		}
		if !ok {
			w.plain(name, args, p)
			return
		}
		outside := p
		before := w.dirs
		rest, what := w.unwrap(name, wrap, args[1:], &p)
		if !slices.Equal(before, w.dirs) { // -C of env, -D of sudo: for what is wrapped only
			defer func() { w.dirs = before }()
		}
		switch what {
		case unknownOption:
			w.unknown("an option of " + name + " that is not known")
			p = p.wrapped(name)
			w.emit(args, p)
			w.suspects(args[1:], p)
			return
		case runsNothing:
			p.privileged = p.privileged || gains[name]
			w.emit(args, p)
			w.judge(name, args, p)
			w.prints(name, args, p)
			return
		}
		if strings.Contains(head.text, "/") && !strings.HasPrefix(head.text, "/bin/") && !strings.HasPrefix(head.text, "/usr/bin/") {
			w.emit(args, outside)
		}
		p = p.wrapped(name)
		args = rest
	}
}

// nameless follows a command whose name is not known: for what it would be where that
// which is unknown is nothing, and for what a pattern in it may match.
func (w *follower) nameless(args []value, p place) {
	w.unknown("the name of a command is known only when it runs")
	if args[0].taint&fetched != 0 {
		w.out.FetchToInterpreter = true
	}
	w.emit(args, p)
	head := args[0].text
	if !strings.ContainsAny(head, star+mark+bracket) {
		if name := least.Replace(head); name != "" && name != head && !strings.ContainsAny(name, some+home) {
			again := slices.Clone(args)
			again[0] = exactly(name)
			w.run(again, p)
		} else if head == anything && len(args) > 1 { // $SUDO rm -rf /
			w.suspects(args[1:], p)
		}
		return
	}
	for _, name := range globbed {
		if matches(path.Base(head), name) && len(path.Base(head)) < 32 {
			again := slices.Clone(args)
			again[0] = exactly(name)
			w.run(again, p)
		}
	}
}

// globbed are the commands that a pattern in place of a name may be meant for.
var globbed = []string{"rm", "dd", "cat", "sh", "bash", "curl", "wget", "chmod", "chown", "shred", "mkfs.ext4", "shutdown", "reboot", "nc", "python3"}

// suspects follows what stands behind a wrapper that is not understood, from the first
// word on that is the name of a command.
func (w *follower) suspects(args []value, p place) {
	for i, a := range args {
		name := path.Base(a.text)
		if !a.known() || name == "" || strings.HasPrefix(name, "-") {
			continue
		}
		_, wraps := wrappers[name]
		if wraps || shells[name] || suspicious[name] || strings.HasPrefix(name, "mkfs") {
			w.run(args[i:], p)
			return
		}
		if strings.ContainsAny(a.text, " ;") {
			w.suspectCode(a, p)
		}
	}
}

// suspectCode follows a word that may be code, and says nothing when it is none.
func (w *follower) suspectCode(v value, p place) {
	fields := strings.Fields(v.text)
	if len(fields) > 1 && (suspicious[path.Base(fields[0])] || shells[path.Base(fields[0])] || fields[0] == "sudo") {
		w.nested(v, p)
	}
}

var suspicious = set(`rm rmdir shred dd mkfs wipefs mv chmod chown kill killall pkill shutdown reboot halt poweroff init systemctl
	curl wget nc ncat git docker kubectl cat cp tee find truncate crontab eval exec python python3 perl ruby node`)

// called follows a function or an alias of the name.
func (w *follower) called(name string, args []value, p place) bool {
	if fn := w.funcs[name]; fn != nil {
		w.emit(args, p)
		w.callFunction(name, fn, args[1:], true, p)
		return true
	}
	if code, ok := w.aliases[name]; ok {
		delete(w.aliases, name) // an alias is not expanded within itself
		var b strings.Builder
		b.WriteString(code)
		for _, a := range args[1:] {
			b.WriteByte(' ')
			b.WriteString(requoted(a))
		}
		w.nested(exactly(b.String()), p)
		w.aliases[name] = code
		return true
	}
	return false
}

// requoted is a word as it must be written to be read as this word again.
func requoted(v value) string {
	if v.known() {
		return "'" + strings.ReplaceAll(v.text, "'", `'\''`) + "'"
	}
	return v.source()
}

// furtherWrappers are seen through beside those of ParseShell.
var furtherWrappers = map[string]wrapper{
	"chroot":     {long: "skip-chdir", longWith: "userspec groups", operands: 1},
	"strace":     {flags: "cCdfFhiknqrtTvwxyYzZ", values: "abeEIoOpPsSuUX", longWith: "output trace", writes: "o output", nothing: "V"},
	"ltrace":     {flags: "bcCfhiLnrStT", values: "aADeFlnopsuwx", writes: "o", nothing: "V"},
	"setarch":    {flags: "BFILRSTXZv3", operands: 1},
	"linux32":    {flags: "BFILRSTXZv3"},
	"linux64":    {flags: "BFILRSTXZv3"},
	"taskset":    {flags: "ac", long: "all-tasks cpu-list", operands: 1, nothing: "p"},
	"chrt":       {flags: "abdfimorRv", values: "TPD", operands: 1, nothing: "p"},
	"prlimit":    {values: "cdefilmnqrstuvxy", nothing: "p"},
	"unbuffer":   {flags: "p"},
	"fakeroot":   {flags: "u", values: "lsib", dash: true},
	"proot":      {flags: "0", values: "rbRSqkwi"},
	"firejail":   {long: "quiet noprofile private net=none"},
	"xvfb-run":   {flags: "al", values: "efnpsw", long: "auto-servernum", longWith: "server-args server-num error-file"},
	"tini":       {flags: "gsvw", values: "pe"},
	"dumb-init":  {flags: "cv", values: "r"},
	"gosu":       {operands: 1},
	"su-exec":    {operands: 1},
	"setpriv":    {long: "no-new-privs clear-groups keep-groups init-groups reset-env", longWith: "reuid regid groups ruid euid rgid egid inh-caps bounding-set"},
	"pkexec":     {long: "keep-cwd disable-internal-agent", longWith: "user"},
	"run0":       {longWith: "user group nice chdir setenv unit property"},
	"numactl":    {values: "iNmClpP", longWith: "interleave cpunodebind membind physcpubind preferred"},
	"cgexec":     {values: "g", long: "sticky"},
	"unshare":    {flags: "imnpuUCTfrc", values: "RwSG", long: "mount uts ipc net pid user cgroup fork map-root-user mount-proc", longWith: "root wd setuid setgid"},
	"nsenter":    {flags: "amuinpCUTFrwWZe", values: "tSG", long: "all mount uts ipc net pid user cgroup", longWith: "target setuid setgid"},
	"unminimize": {},
	"caffeinate": {flags: "dimsu", values: "tw"},
	"noglob":     {}, "nocorrect": {}, "repeat": {operands: 1},
	"watchexec":        {flags: "crnp", values: "ewfi", long: "restart clear", longWith: "exts watch ignore filter"},
	"runcon":           {flags: "c", values: "turl"},
	"dbus-run-session": {longWith: "config-file dbus-daemon"},
	"torsocks":         {flags: "i"}, "proxychains": {flags: "q", values: "f"}, "proxychains4": {flags: "q", values: "f"},
	"ccache": {}, "distcc": {}, "eatmydata": {}, "chronic": {flags: "ve"}, "ifne": {flags: "n"}, "faketime": {flags: "fm", operands: 1},
	"systemd-run": {flags: "dGPqrSt", values: "EHMpu", long: "user system scope wait pty pipe quiet remain-after-exit collect shell no-block same-dir",
		longWith: "unit property description slice service-type uid gid nice setenv working-directory on-active on-boot on-startup on-unit-active on-calendar"},
}

// unwrap is the walker's, for values.
func (w *follower) unwrap(name string, x wrapper, args []value, p *place) ([]value, unwrapped) {
	replace, null := "", false // of xargs
	perLine := false
	delimiter := ""
	for len(args) > 0 {
		a := args[0]
		if !a.known() {
			if a.open() && (x.operands == 0 || strings.HasPrefix(a.text, "-")) {
				return nil, unknownOption
			}
			break
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
		if name == "env" {
			if rest, ok := w.envOption(args, *p); ok {
				args = rest
				continue
			} else if rest != nil {
				args = rest
				continue
			}
		}
		var next []word
		if len(args) > 1 {
			next = []word{{text: args[1].text}}
			if !args[1].known() {
				next[0].text = args[1].word()
			}
		}
		option, val, used, what := x.option(a.text, next)
		if what != innerCommand {
			if name == "xargs" && (a.text == "-i" || strings.HasPrefix(a.text, "-I") || strings.HasPrefix(a.text, "--replace")) {
				replace, perLine = "{}", true
				if _, r, ok := strings.Cut(a.text, "="); ok && r != "" {
					replace = r
				}
				args = args[1:]
				continue
			}
			if name == "sudo" && (a.text == "-i" || a.text == "-s" || a.text == "--login" || a.text == "--shell") {
				args = args[1:]
				continue
			}
			return nil, what
		}
		switch {
		case name == "xargs" && option == "I":
			replace, perLine = val, true
		case name == "xargs" && (option == "d" || option == "delimiter"):
			delimiter = ansiC(val)
		case name == "xargs" && (arguments{args[:1]}).flag("0", x.values) || a.is("--null"):
			null = true
		case name == "unshare" || name == "nsenter":
			p.privileged = true
		case listed(x.reads, option):
			p.reads = grown(p.reads, val)
			v := w.reads(exactly(val))
			p.in = &v
		case listed(x.writes, option):
			p.writes = grown(p.writes, val)
			w.writes(exactly(val), args)
		case strings.HasPrefix(option, "on-"):
			w.persists("systemd-run --" + option)
		case option == "D" || option == "chdir" || option == "working-directory":
			w.dirs = []string{join(w.dirs[0], val)}
		}
		args = args[1+used:]
	}
	for x.assigns && len(args) > 0 && strings.Contains(args[0].text, "=") {
		variable, val, _ := strings.Cut(args[0].text, "=")
		w.decisive(variable)
		w.environment(variable, value{val, args[0].taint}, *p)
		w.set(variable, [][]value{{{val, args[0].taint}}}, true)
		p.env = grown(p.env, variable)
		args = args[1:]
	}
	if len(args) < x.operands {
		return nil, unknownOption
	}
	args = args[x.operands:]
	if len(args) == 0 {
		return nil, runsNothing
	}
	if x.appends {
		in := p.in
		p.in, p.piped = nil, false
		if null || perLine {
			delimiter = "\n" // what find is known to print has lines, with -print0 too
		}
		return w.fed(args, replace, in, delimiter), innerCommand
	}
	return args, innerCommand
}

// envOption takes off an option of env that gives a command's words in one, or another
// directory. Where it is the first kind, rest is what env goes on with and ok false.
func (w *follower) envOption(args []value, p place) (rest []value, ok bool) {
	a := args[0].text
	inline, attached := strings.CutPrefix(a, "--split-string=")
	if !attached {
		if inline, attached = strings.CutPrefix(a, "-S"); !attached {
			inline, attached = strings.CutPrefix(a, "-vS")
		}
	}
	switch {
	case attached:
		rest = args[1:]
		if inline == "" {
			if len(args) < 2 {
				return nil, false
			}
			inline, rest = args[1].text, args[2:]
		}
		var words []value
		for _, f := range strings.Fields(inline) {
			f = strings.ReplaceAll(strings.Trim(f, `'"`), "${HOME}", home)
			if strings.Contains(f, "${") {
				f = anything
			}
			words = append(words, exactly(f))
		}
		return slices.Concat(words, rest), false
	case a == "-C" && len(args) > 2:
		w.dirs = []string{join(w.dirs[0], args[1].text)}
		return args[2:], true
	case strings.HasPrefix(a, "--chdir=") && len(args) > 1:
		w.dirs = []string{join(w.dirs[0], strings.TrimPrefix(a, "--chdir="))}
		return args[1:], true
	}
	return nil, false
}

// fed is args with what xargs adds out of its input, which has words where delimiter is "".
func (w *follower) fed(args []value, replace string, in *value, delimiter string) []value {
	items := []value{{text: anything}}
	if in != nil {
		items[0].taint = in.taint
		if !strings.Contains(in.text, anything) {
			items = nil
			list := strings.Fields(in.text)
			if delimiter != "" {
				list = strings.Split(strings.TrimSuffix(in.text, "\n"), delimiter)
			}
			for _, x := range list {
				if x != "" && len(items) < maxLoop {
					items = append(items, value{strings.Trim(x, `'" `), in.taint})
				}
			}
		}
	}
	if replace == "" {
		return slices.Concat(args, items)
	}
	one := value{text: anything}
	if len(items) == 1 {
		one = items[0]
	}
	out := slices.Clone(args)
	for i, a := range out {
		if strings.Contains(a.text, replace) {
			out[i] = value{strings.ReplaceAll(a.text, replace, one.text), a.taint | one.taint}
		}
	}
	return out
}

// plain follows a command that is no wrapper.
func (w *follower) plain(name string, args []value, p place) {
	switch {
	case shells[strings.TrimRight(name, "0123456789.-")] || otherShells[name] || name == "exe" && strings.HasPrefix(args[0].text, "/proc/"):
		w.shell(name, args, p)
		return
	case name == "eval":
		code, taint := make([]string, 0, len(args)), taint(0)
		for _, a := range args[1:] {
			if a.text == "--" && len(code) == 0 {
				continue
			}
			code = append(code, a.text)
			taint |= a.taint
		}
		w.nested(value{strings.Join(code, " "), taint}, p.wrapped("eval"))
		return
	}
	w.emit(args, p)
	if lang, ok := interpreterOf(name); ok {
		w.language(name, lang, args, p)
	}
	w.gives(name, args, p)
	w.judge(name, args, p)
	w.prints(name, args, p)
}

// otherShells are near enough to those of ParseShell for a rule that denies.
var otherShells = set("fish csh tcsh ion elvish yash oksh loksh posh osh rc es nu xonsh mrsh")

// shell follows what a shell is given to run.
func (w *follower) shell(name string, args []value, p place) {
	inline, i := false, 1
options:
	for ; i < len(args); i++ {
		a := args[i].text
		switch {
		case a == "--" || a == "-":
			i++
			break options
		case a == "--rcfile" || a == "--init-file":
			i++
			if i < len(args) {
				w.script(w.reads(args[i]), args[i:], p)
			}
		case strings.HasPrefix(a, "--"):
		case len(a) > 1 && (a[0] == '-' || a[0] == '+'):
			inline = inline || a[0] == '-' && strings.Contains(a, "c")
			if last := a[len(a)-1]; last == 'o' || last == 'O' {
				i++
			}
		default:
			break options
		}
	}
	rest := args[min(i, len(args)):]
	p.zsh = name == "zsh"
	inner := p.wrapped(name)
	inner.env = nil
	if p.net {
		w.out.FetchToInterpreter = true
		w.unknown(name + " is driven over the network")
	}
	before, was, zero := w.params, w.given, w.zero
	defer func() { w.params, w.given, w.zero = before, was, zero }()
	switch {
	case inline && len(rest) > 0:
		w.params, w.given, w.zero = nil, true, exactly(name)
		if len(rest) > 1 {
			w.zero, w.params = rest[1], rest[2:]
		}
		w.nested(rest[0], inner)
	case len(rest) > 0 && !inline && !slices.ContainsFunc(args[1:i], func(v value) bool { return v.text == "-s" }) && !isStdin(rest[0].text):
		w.params, w.given = rest[1:], true
		w.emit(args, p)
		v := w.reads(rest[0])
		if rest[0].open() {
			w.unknown("what " + name + " runs is known only then")
		}
		w.script(v, rest, p.wrapped(name))
	default:
		w.params, w.given = nil, true
		w.emit(args, p)
		w.input(name, inner)
	}
}

func isStdin(file string) bool {
	return file == "/dev/stdin" || file == "/dev/fd/0" || file == "/proc/self/fd/0" || file == "-"
}

// input follows what a shell reads from its input.
func (w *follower) input(name string, p place) {
	switch in := p.in; {
	case in == nil:
		w.unknown("what " + name + " runs is known only then")
	case in.text == anything || in.text == "":
		if in.taint&fetched != 0 {
			w.out.FetchToInterpreter = true
		}
		if in.text != "" {
			w.unknown("what " + name + " runs is known only then")
		}
	default:
		p.in = nil
		w.nested(*in, p)
	}
}

// script follows a file that is run as a shell's, where the text knows what it holds.
func (w *follower) script(v value, args []value, p place) {
	switch {
	case v.taint&fetched != 0:
		w.out.FetchToInterpreter = true
		w.unknown("what comes over the network is run")
	case v.text == anything && v.taint&printed != 0:
		w.unknown("a file that the text itself writes is run")
	case v.known() && v.text != "":
		if lang, ok := interpreterOf(shebang(v.text)); ok && lang.code != "" {
			w.foreign(shebang(v.text), v, p)
			return
		}
		before, was := w.params, w.given
		w.params, w.given = args[1:], true
		w.nested(v, p)
		w.params, w.given = before, was
	case v.text != "" && v.text != anything:
		w.nested(v, p)
	}
}

// shebang is the name of the interpreter in the first line, or "".
func shebang(code string) string {
	line, ok := strings.CutPrefix(code, "#!")
	if !ok {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	words := strings.Fields(line)
	if len(words) > 1 && path.Base(words[0]) == "env" {
		words = words[1:]
	}
	if len(words) == 0 {
		return ""
	}
	return path.Base(words[0])
}
