package facts

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// gives follows the commands that a command is given to run, in its operands or options,
// where it is no plain wrapper.
func (w *follower) gives(name string, args []value, p place) {
	a := arguments{args[1:]}
	in := p.wrapped(name)
	in.in = nil
	switch name {
	case "su", "runuser":
		if code, ok := a.option("-c", "--command", "--session-command"); ok {
			w.nested(code, in)
		} else if i := a.index("--"); i >= 0 && name == "runuser" {
			w.run(args[i+2:], in)
		} else if name == "runuser" && len(a.operands("-u")) > 0 {
			w.run(a.operands("-u"), in)
		} else {
			in.in = p.in
			w.input(name, in)
		}
		w.out.Privileged = true
	case "script":
		if code, ok := a.option("-c", "--command"); ok {
			w.nested(code, in)
		} else if ops := a.from("-t", "-T", "-o", "-O", "-I", "-B", "-m", "-E"); len(ops) > 1 { // BSD's
			w.run(ops[1:], in)
		}
	case "watch":
		if ops := a.operands("-n", "--interval", "-q"); len(ops) > 0 {
			w.nested(joined(ops), in)
		}
	case "cmake":
		if i := a.index("-E"); i >= 0 && i+1 < len(a.all) {
			w.cmakeTool(a.all[i+1:], in)
		}
	case "flock":
		if code, ok := a.option("-c", "--command"); ok {
			w.nested(code, in)
		} else if ops := a.from("-w", "-E", "--timeout", "--wait", "--conflict-exit-code"); len(ops) > 1 {
			w.run(ops[1:], in)
		}
	case "parallel", "rush", "xe", "xapply":
		w.parallel(a, in, p)
	case "ssh", "rsh", "mosh", "slogin", "dbclient", "autossh", "sshpass":
		in.in = p.in
		w.remote(name, a, in)
	case "docker", "podman", "nerdctl", "kubectl", "oc", "crictl", "lxc", "incus", "docker-compose", "ctr", "apptainer", "singularity", "buildah", "k3s", "multipass", "vagrant", "flyctl", "fly", "heroku", "gcloud", "az", "limactl", "colima", "minikube", "toolbox", "distrobox":
		w.container(name, a, in)
	case "screen":
		if i := slices.IndexFunc(a.all, func(v value) bool { return v.is("stuff") }); i >= 0 && i+1 < len(a.all) {
			w.nested(exactly(strings.ReplaceAll(a.all[i+1].text, "^M", "\n")), in)
		} else if ops := a.from("-S", "-dmS", "-DmS", "-t", "-p", "-c", "-L", "-e", "-h", "-T", "-Logfile"); len(ops) > 0 {
			w.run(ops, in)
		}
	case "tmux":
		w.tmux(a, in)
	case "at", "batch":
		w.persists(name)
		w.input(name, place{via: in.via, in: p.in, depth: p.depth})
	case "find", "fd", "fdfind", "bfs", "gfind":
		w.search(name, a, in)
	case "trap":
		if ops := a.operands(); len(ops) > 1 && !isNumber(ops[0].text) {
			w.nested(ops[0], in)
		}
	case "source", ".":
		if len(a.all) > 0 {
			if a.all[0].text == anything || isStdin(a.all[0].text) {
				in.in = p.in
				if a.all[0].taint&fetched != 0 {
					w.out.FetchToInterpreter = true
				}
				w.input(name, in)
				return
			}
			in.via = p.via
			w.script(w.reads(a.all[0]), a.all, in)
		}
	case "alias":
		for _, x := range a.all {
			if k, v, ok := strings.Cut(x.text, "="); ok {
				if w.aliases == nil {
					w.aliases = map[string]string{}
				}
				w.aliases[k] = value{text: v}.source()
			}
		}
	case "unalias":
		for _, x := range a.all {
			delete(w.aliases, x.text)
		}
	case "set":
		for i, x := range a.all {
			if x.is("--") || !strings.HasPrefix(x.text, "-") && !strings.HasPrefix(x.text, "+") && !x.is("pipefail") {
				rest := a.all[i:]
				if x.is("--") {
					rest = rest[1:]
				}
				w.params = rest
				if p.maybe {
					w.given = false
				}
				break
			}
		}
	case "shift":
		n := 1
		if len(a.all) > 0 {
			var err error
			if n, err = strconv.Atoi(a.all[0].text); err != nil || n < 0 {
				w.given, n = false, 0
			}
		}
		w.params = w.params[min(n, len(w.params)):]
	case "cd", "pushd", "chdir":
		w.changes(a)
	case "popd":
		w.dirs = []string{some}
	case "read", "mapfile", "readarray":
		w.readsVariables(name, a, p)
	case "printf":
		if name, ok := a.option("-v"); ok {
			w.subscript(name)
		}
		if len(a.all) > 2 && a.all[0].is("-v") && isName(a.all[1].text) {
			v, ok := printf(a.all[2:])
			if !ok {
				v = value{text: anything}
			}
			w.decisive(a.all[1].text)
			w.set(a.all[1].text, [][]value{{v}}, p.maybe)
		}
	case "unset":
		for _, x := range a.operands() {
			w.subscript(x)
			delete(w.funcs, x.text)
			w.set(x.text, [][]value{{{}}}, p.maybe)
		}
	case "test", "[":
		if name, ok := a.option("-v", "-R"); ok {
			w.subscript(name)
		}
	case "wait":
		if name, ok := a.option("-p"); ok {
			w.subscript(name)
		}
	case "hash", "enable", "bind", "complete", "compgen":
		if len(a.all) > 0 && !a.all[0].is("-r") {
			w.unknown(name + " changes what a command's name means")
		}
	case "tar", "gtar", "bsdtar":
		for _, x := range a.all {
			for _, prefix := range []string{"--checkpoint-action=exec=", "--to-command=", "--use-compress-program=", "--rsh-command=", "--info-script=", "--new-volume-script="} {
				if code, ok := strings.CutPrefix(x.text, prefix); ok {
					w.nested(value{code, x.taint}, in)
				}
			}
		}
		if code, ok := a.option("-I", "--use-compress-program", "--to-command", "--rsh-command", "-F"); ok && name != "bsdtar" {
			w.nested(code, in)
		}
		if i := a.index("--checkpoint-action"); i >= 0 && i+1 < len(a.all) {
			if code, ok := strings.CutPrefix(a.all[i+1].text, "exec="); ok {
				w.nested(exactly(code), in)
			}
		}
	case "rsync", "scp", "sftp":
		if code, ok := a.option("-e", "--rsh", "--rsync-path", "-S"); ok {
			w.nested(code, in)
		}
		w.sshOptions(a, in)
		if name == "sftp" {
			w.transfers(a, in, p)
		}
	case "zip":
		if code, ok := a.option("-TT", "--unzip-command"); ok {
			w.nested(code, in)
		}
	case "split", "gsplit":
		if code, ok := a.option("--filter"); ok {
			w.nested(code, in)
		}
	case "sort":
		if code, ok := a.option("--compress-program"); ok {
			w.nested(code, in)
		}
	case "nc", "ncat", "netcat":
		for _, o := range []string{"-e", "--exec", "-c", "--sh-exec"} {
			if code, ok := a.option(o); ok {
				w.out.FetchToInterpreter = true
				w.unknown("what comes over the network is run")
				w.suspectCode(code, in)
			}
		}
	case "socat":
		for _, x := range a.all {
			_, code, ok := strings.Cut(x.text, ":")
			if upper := strings.ToUpper(x.text); ok && (strings.HasPrefix(upper, "EXEC:") || strings.HasPrefix(upper, "SYSTEM:")) {
				code, _, _ = strings.Cut(code, ",")
				w.out.FetchToInterpreter = true
				w.nested(exactly(strings.Trim(code, `'"`)), in)
			}
		}
	case "awk", "gawk", "mawk", "nawk", "busybox-awk":
		w.awk(a, in, p)
	case "sed", "gsed":
		w.sed(a, in, p)
	case "vi", "vim", "nvim", "view", "vimdiff", "rvim", "ex", "ed", "emacs":
		w.editor(name, a, in, p)
	case "less", "more", "man":
		if code, ok := a.option("-P", "--pager", "-H", "--html"); ok && name == "man" && !strings.HasPrefix(code.text, "-") {
			w.nested(code, in)
		}
		for _, x := range a.all {
			if code, ok := strings.CutPrefix(x.text, "+!"); ok {
				w.nested(exactly(code), in)
			}
		}
	case "nano", "pico":
		if code, ok := a.option("-s", "--speller"); ok {
			w.suspectCode(code, in)
		}
	case "git":
		w.git(a, in)
	case "hg":
		if pair, ok := a.option("--config"); ok {
			if key, code, _ := strings.Cut(pair.text, "="); strings.HasPrefix(key, "alias.") || strings.HasPrefix(key, "hooks.") || strings.HasPrefix(key, "ui.ssh") {
				w.nested(value{strings.TrimPrefix(code, "!"), pair.taint}, in)
			}
		}
	case "gh":
		for i, x := range a.all {
			if code, ok := strings.CutPrefix(x.text, "!"); ok && i > 2 && a.all[0].is("alias") {
				w.nested(value{code, x.taint}, in)
			}
		}
	case "rg":
		if program, ok := a.option("--pre", "--hostname-bin"); ok {
			w.run([]value{program}, in)
		}
	case "rpm":
		if code, ok := a.option("--pipe"); ok {
			w.nested(code, in)
		}
		if code, ok := a.option("--eval", "-E"); ok && strings.Contains(code.text, "%") {
			w.unknown("rpm is given code that is not shell")
			if _, shell, ok := strings.Cut(code.text, "%("); ok {
				w.nested(value{strings.TrimSuffix(shell, ")"), code.taint}, in)
			}
		}
	case "gem":
		if code, ok := a.option("-e", "--editor"); ok && len(a.all) > 0 && a.all[0].is("open") {
			w.nested(code, in)
		}
	case "go":
		if code, ok := a.option("-exec", "-toolexec", "-vettool"); ok {
			w.nested(code, in)
		}
		for _, x := range a.all {
			for _, o := range []string{"-exec=", "-toolexec=", "-vettool="} {
				if code, ok := strings.CutPrefix(x.text, o); ok {
					w.nested(value{code, x.taint}, in)
				}
			}
		}
	case "make", "gmake":
		for _, x := range a.all {
			code, ok := strings.CutPrefix(x.text, "SHELL=")
			if ok {
				w.nested(exactly(code), in)
			}
			if _, code, ok := strings.Cut(x.text, "="); ok {
				w.suspectCode(value{code, x.taint}, in)
			}
		}
		if code, ok := a.option("--eval", "-E"); ok {
			for _, m := range makeShell.FindAllStringSubmatch(code.text, maxBraces) {
				w.nested(exactly(m[1]), in)
			}
			w.unknown("make is given code that is not shell")
		}
		file, ok := a.option("-f", "--file", "--makefile")
		if ok && isStdin(file.text) {
			w.unknown("make runs what comes over its input")
		}
		for _, f := range []string{file.text, "GNUmakefile", "makefile", "Makefile"} {
			if v, there := w.files[w.at(f)]; f != "" && there {
				w.makefile(v, in)
				break
			}
		}
	case "gdb", "lldb":
		for i, x := range a.all {
			if (x.is("-ex") || x.is("-o") || x.is("--eval-command")) && i+1 < len(a.all) {
				code := a.all[i+1].text
				if rest, ok := strings.CutPrefix(code, "!"); ok {
					w.nested(exactly(rest), in)
				} else if rest, ok := strings.CutPrefix(code, "shell "); ok {
					w.nested(exactly(rest), in)
				} else if rest, ok := strings.CutPrefix(code, "python "); ok {
					w.foreign("python", exactly(rest), in)
				}
			}
		}
		w.unknown(name + " runs a program that is not looked into")
	case "npx", "npm", "yarn", "pnpm", "bunx", "composer":
		if code, ok := a.option("-c", "--call"); ok && name != "yarn" {
			w.nested(code, in)
		}
		rest := a
		if name != "npx" && name != "bunx" {
			i := slices.IndexFunc(a.all, func(v value) bool { return v.is("exec") || v.is("dlx") || v.is("x") })
			rest.all = a.all[i+1:]
			if i < 0 && (len(a.all) == 0 || name == "npm" || !nodeTools[a.all[0].text]) {
				rest.all = nil
			}
		}
		if cmd := rest.from("-p", "--package", "-c", "--call", "-w", "--workspace"); len(cmd) > 0 {
			w.run(cmd, in)
		}
	case "uv", "poetry", "pipenv", "rye", "pdm", "hatch", "conda", "mamba", "mise", "asdf", "direnv", "bundle", "dotenv", "op", "doppler", "aws-vault", "nix", "rbenv", "pyenv", "devbox", "rtx", "infisical", "chamber":
		if i := slices.IndexFunc(a.all, func(v value) bool { return v.is("run") || v.is("exec") || v.is("--") || v.is("-c") }); i >= 0 && i+1 < len(a.all) {
			if cmd := (arguments{a.all[i+1:]}).from("--with", "-p", "--python", "-e", "-n", "-C", "--env-file", "-f", "--extra", "--group", "--env", "--package"); len(cmd) > 0 {
				w.run(cmd, in)
				w.suspects(cmd[1:], in)
			}
		}
	case "nix-shell":
		if code, ok := a.option("--run", "--command"); ok {
			w.nested(code, in)
		}
	case "expect":
		w.unknown("expect is given code that is not shell")
		for _, x := range a.all {
			for _, m := range expectRuns.FindAllStringSubmatch(x.text, maxBraces) {
				w.nested(exactly(m[1]), in)
			}
		}
	case "start-stop-daemon":
		if exec, ok := a.option("--exec", "-x", "--startas", "-a"); ok {
			rest := []value{exec}
			if i := a.index("--"); i >= 0 {
				rest = append(rest, a.all[i+1:]...)
			}
			w.run(rest, in)
		}
	case "cmd", "cmd.exe", "powershell", "pwsh":
		if code, ok := a.option("-c", "/c", "-command", "-Command", "/C", "-EncodedCommand", "-enc", "-e"); ok {
			w.unknown(name + " is given code that is not shell")
			w.powershell(code)
		} else {
			w.unknown(name + " runs a program that is not looked into")
		}
	case "osascript":
		w.unknown("osascript is given code that is not shell")
		for _, x := range a.all {
			if _, code, ok := strings.Cut(x.text, "do shell script "); ok {
				if texts, _ := literals(code); len(texts) > 0 {
					w.nested(exactly(texts[0]), in)
				}
			}
		}
	case "sqlite3", "mysql", "mariadb", "psql":
		codes := texts(a.all)
		if p.in != nil {
			codes = append(codes, p.in.text)
		}
		for _, code := range codes {
			w.client(cut(code, maxText), in)
		}
	case "ftp", "lftp", "dc":
		w.transfers(a, in, p)
	case "crontab":
		if p.in != nil && len(a.all) == 0 || a.index("-") >= 0 {
			if p.in != nil && p.in.known() {
				for line := range strings.SplitSeq(p.in.text, "\n") {
					if f := strings.Fields(line); len(f) > 5 && !strings.HasPrefix(line, "#") {
						w.nested(exactly(strings.Join(f[5:], " ")), in)
					}
				}
			}
		}
	case "ld-linux-x86-64.so.2":
		w.suspects(a.all, in)
	case "php", "irb", "tclsh", "ipython", "ipython3", "bpython", "zx", "puppet", "erb", "micropython", "ts-node", "tsx", "ghc", "runghc", "ocaml", "iex", "raku", "rakudo", "crystal", "clj", "bb", "sbcl", "gnuplot", "matlab", "maxima", "nim", "kotlin", "wish", "r", "rscript", "julia", "ghci", "deno", "bun", "groovy", "scala", "jshell", "jrunscript", "octave", "guile", "racket", "lua", "luajit", "erl", "elixir", "swift":
		if _, ok := interpreterOf(name); !ok {
			w.transfers(a, in, p)
			code, ok := a.option("-e", "-c", "eval", "-r", "--eval", "-eval", "-batch", "--batch-string")
			switch {
			case ok:
				w.foreign(name, code, in)
			case p.in != nil && (len(a.operands()) == 0 || a.index("-") >= 0):
				w.foreign(name, *p.in, in)
			}
		}
	case "gcc", "g++", "cc", "clang":
		if code, ok := a.option("-wrapper"); ok {
			var cmd []value
			for x := range strings.SplitSeq(code.text, ",") {
				cmd = append(cmd, value{x, code.taint})
			}
			w.run(cmd, in)
		}
	case "apt", "apt-get", "apt-cache":
		for i, x := range a.all {
			if x.is("-o") && i+1 < len(a.all) {
				if key, code, ok := strings.Cut(a.all[i+1].text, "="); ok && (strings.Contains(key, "Invoke") || strings.Contains(key, "Pager") || strings.Contains(key, "DPkg")) {
					w.nested(exactly(code), in)
				}
			}
		}
	case "ansible":
		if module, ok := a.option("-m", "--module-name"); !ok || (module.is("shell") || module.is("command") || module.is("raw") || module.is("script")) {
			if code, ok := a.option("-a", "--args"); ok {
				w.nested(code, in)
			}
		}
	case "nmap", "wget":
		if _, ok := a.option("--script", "--use-askpass"); ok {
			w.unknown(name + " runs a program that is not looked into")
		}
	default:
		if givers[name] {
			for _, x := range a.all {
				_, code, ok := strings.Cut(x.text, "=") // --exec=code
				if ok && strings.HasPrefix(x.text, "-") {
					x.text = code
				}
				w.suspectCode(x, in)
				w.embedded(x.text, in)
			}
			if p.in != nil {
				w.embedded(p.in.text, in)
			}
			w.suspects(a.all, in)
		} else if runners[name] && name != "capsh" || strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld-musl") || name == "capsh" {
			w.unknown(name + " runs a command that is not looked into, or changes what a name means")
			w.suspects(a.all, in)
		}
	}
	w.runsFile(name, args, p)
}

// givers give a command that stands in their words, or in one of them, to be run. Where in their
// words it begins is not known; what looks like one is followed.
var givers = set(`hyperfine entr chpst daemonize nodemon concurrently setlock lockf pdsh clush pssh parallel-ssh dsh salt salt-call fab just launchctl
	perf valgrind rr xterm gnome-terminal konsole alacritty kitty wezterm zellij dtach abduco cpulimit systemd-inhibit systemd-nspawn machinectl
	run-one logsave pexec dzdo please ssh-agent dbus-launch startx daemon cross-env cross-env-shell dotenvx envchain guix sops shx fzf yt-dlp youtube-dl
	tcpdump watchman-make chef-apply npm-run-all
	aa-exec aoss bpftrace borg cabal certbot choom codex csvtool dhclient dmsetup dnsmasq genie grc ksu latexmk mail mailx msgfilter multitime openvpn openvt pidstat plymouth
	restic rustup scrot socket softlimit sshfs task tmate torify xdotool zic m4 tex pdftex latex pdflatex xelatex lualatex`)

var embeddedCode = regexp.MustCompile(`(?:write18\s*\{|syscmd\(|execute(?:-silent)?\()([^)}]*)`)

// embedded follows what TeX, m4 and fzf run from within their own code.
func (w *follower) embedded(code string, in place) {
	for _, m := range embeddedCode.FindAllStringSubmatch(cut(code, maxText), maxBraces) {
		w.nested(exactly(m[1]), in)
	}
}

// nodeTools are programs of packages that yarn and pnpm run by their names, and that can do harm.
var nodeTools = set("prisma sequelize sequelize-cli knex typeorm drizzle-kit rimraf firebase supabase wrangler vercel netlify serverless sls cdk sst")

// cmakeTool is cmake -E, which has tools of its own and runs others.
func (w *follower) cmakeTool(args []value, in place) {
	switch args[0].text {
	case "env", "time", "rm":
		w.run(args, in)
	case "remove", "remove_directory":
		w.run(slices.Concat([]value{exactly("rm"), exactly("-r")}, args[1:]), in)
	}
}

// makefile follows the recipes of a makefile that the text itself writes.
func (w *follower) makefile(v value, in place) {
	w.unknown("make runs a file that the text itself writes")
	for i, line := range strings.Split(v.text, "\n") {
		if code, ok := strings.CutPrefix(line, "\t"); ok && i < maxLoop {
			w.nested(value{strings.ReplaceAll(strings.TrimLeft(code, "@-+ "), "$$", "$"), v.taint}, in)
		}
	}
}

var (
	makeShell   = regexp.MustCompile(`\$\(shell ([^)]*)\)`)
	expectRuns  = regexp.MustCompile(`(?:spawn|system|exec)\s+([^;\n]*)`)
	clientShell = regexp.MustCompile(`(?i)(?:^|\n|;)\s*(?:\.(?:shell|system)\s+|system\s+|\\!\s*|\\o\s*\||\.(?:read|output|once)\s+'?\|)([^\n']*)|\bprogram\s+'([^']*)'`)
	clientReads = regexp.MustCompile(`(?i)\b(?:pg_read_file|pg_read_binary_file|load_file|readfile)\s*\(\s*'([^']*)'`)
	clientFiles = regexp.MustCompile(`(?i)\b(?:(?:outfile|dumpfile)\s*|writefile\s*\(\s*)'([^']*)'|(?:^|\n)\s*\.(?:output|once|backup|save)\s+([^\s|]+)|\\copy\s.*\sto\s+'([^']*)'`)
)

// transfers follows the lines with ! that ftp and its like give to a shell.
func (w *follower) transfers(a arguments, in, p place) {
	lines := texts(a.all)
	if p.in != nil {
		lines = append(lines, strings.Split(cut(p.in.text, maxText), "\n")...)
	}
	for _, line := range lines {
		if _, code, ok := strings.Cut(line, "!"); ok {
			w.suspectCode(exactly(code), in)
		}
	}
}

// client follows what SQL and the commands of a database's client run, read and write.
func (w *follower) client(code string, in place) {
	for _, m := range clientShell.FindAllStringSubmatch(code, maxBraces) {
		w.nested(exactly(m[1]+m[2]), in)
	}
	for _, m := range clientReads.FindAllStringSubmatch(code, maxBraces) {
		w.reads(exactly(m[1]))
	}
	for _, m := range clientFiles.FindAllStringSubmatch(code, maxBraces) {
		w.writes(exactly(m[1]+m[2]+m[3]), []value{exactly(m[0])})
	}
}

// buildFiles are what programs run without being told.
var buildFiles = map[string][]string{
	"npm": {"package.json"}, "yarn": {"package.json"}, "pnpm": {"package.json"}, "bun": {"package.json"}, "composer": {"composer.json"}, "bundle": {"Gemfile"}, "rake": {"Rakefile"},
	"cmake": {"CMakeLists.txt"}, "just": {"justfile", "Justfile", ".justfile"}, "task": {"Taskfile.yml"}, "gradle": {"build.gradle"}, "mvn": {"pom.xml"}, "cargo": {"build.rs"}, "pytest": {"conftest.py"}, "tox": {"tox.ini"},
}

// runsFile follows a program that an operand names, which the text itself fetched or wrote.
func (w *follower) runsFile(name string, args []value, p place) {
	switch name {
	case "pip", "pip3", "pipx", "uv", "uvx", "npm", "npx", "pnpm", "yarn", "bun", "bunx", "deno", "cargo":
		a := arguments{args[1:]} // what is installed from an address runs its own scripts
		ops := a.operands("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--registry", "--proxy", "--index", "--default-index")
		if len(ops) > 0 && ops[0].is("config") || len(ops) > 0 && ops[0].is("run") && name != "deno" && name != "pipx" {
			ops = nil
		}
		for _, x := range ops {
			if at := strings.Index(x.text, "://"); at > 0 && at < 12 || strings.HasPrefix(x.text, "github:") {
				w.out.FetchToInterpreter = true
			}
		}
		if from, ok := a.option("--from", "--spec", "--git"); ok && strings.Contains(from.text, "://") {
			w.out.FetchToInterpreter = true
		}
	}
	for _, file := range buildFiles[name] {
		if v, ok := w.files[w.at(file)]; ok {
			w.out.FetchToInterpreter = w.out.FetchToInterpreter || v.taint&fetched != 0
			w.unknown(name + " runs a file that the text itself writes")
		}
	}
	switch name {
	case "deno", "bun", "go", "cargo", "rscript", "julia", "lua", "tclsh", "make", "java", "ansible-playbook", "dpkg", "rpm", "installer", "msiexec", "pip", "pip3", "npm", "apt", "apt-get", "dnf", "yum", "docker", "kubectl", "insmod", "psql":
		for _, a := range args[1:] {
			file := a.text
			if rest, ok := strings.CutPrefix(file, "-f"); ok && rest != "" {
				file = rest
			}
			v, ok := w.files[w.at(file)]
			if ok && v.taint&fetched == 0 && (name == "ansible-playbook" || name == "go" || name == "java" || name == "julia" || name == "rscript" || name == "tclsh") {
				w.unknown(name + " runs a file that the text itself writes")
			}
			if ok && v.taint&fetched != 0 && name != "kubectl" && name != "psql" && name != "docker" {
				w.out.FetchToInterpreter = true
			}
		}
	}
}

// arguments are the words behind a command's name.
type arguments struct{ all []value }

// option is the value of the first option of the names that is there: behind it, behind
// its =, or attached to one of one letter.
func (a arguments) option(names ...string) (value, bool) {
	for i, x := range a.all {
		for _, n := range names {
			switch {
			case x.text == n:
				if i+1 < len(a.all) {
					return a.all[i+1], true
				}
			case strings.HasPrefix(n, "--") && strings.HasPrefix(x.text, n+"="):
				return value{x.text[len(n)+1:], x.taint}, true
			case len(n) == 2 && n[0] == '-' && n[1] != '-' && len(x.text) > 2 && strings.HasPrefix(x.text, n):
				return value{x.text[2:], x.taint}, true
			}
		}
	}
	return value{}, false
}

func (a arguments) index(word string) int {
	return slices.IndexFunc(a.all, func(v value) bool { return v.text == word })
}

// flag reports whether a letter is among the options of one letter, where those in valued take
// the rest of their word: -bfix has no f.
func (a arguments) flag(letters, valued string) bool {
	for _, x := range a.all {
		t := x.text
		if t == "--" {
			break
		}
		if len(t) < 2 || t[0] != '-' || t[1] == '-' {
			continue
		}
		for i := 1; i < len(t); i++ {
			if strings.IndexByte(letters, t[i]) >= 0 {
				return true
			}
			if strings.IndexByte(valued, t[i]) >= 0 {
				break
			}
		}
	}
	return false
}

// has reports whether an option is there, as a letter among others or by its long name,
// which GNU lets one cut short.
func (a arguments) has(letters string, long ...string) bool {
	for _, x := range a.all {
		t := x.text
		if t == "--" {
			break
		}
		if len(t) < 2 || t[0] != '-' {
			continue
		}
		if t[1] != '-' {
			if strings.ContainsAny(t[1:], letters) {
				return true
			}
			continue
		}
		t, _, _ = strings.Cut(t, "=")
		for _, l := range long {
			if t == l || len(t) > 3 && strings.HasPrefix(l, t) {
				return true
			}
		}
	}
	return false
}

// operands are the words that are no options. with are the options that have a value in
// the next word.
func (a arguments) operands(with ...string) (out []value) {
	for i := 0; i < len(a.all); i++ {
		t := a.all[i].text
		switch {
		case t == "--":
			return append(out, a.all[i+1:]...)
		case len(t) > 1 && t[0] == '-':
			if slices.Contains(with, t) {
				i++
			}
		default:
			out = append(out, a.all[i])
		}
	}
	return out
}

// from is all from the first operand on, options behind it too.
func (a arguments) from(with ...string) []value {
	for i := 0; i < len(a.all); i++ {
		t := a.all[i].text
		switch {
		case t == "--":
			return a.all[i+1:]
		case len(t) > 1 && t[0] == '-':
			if slices.Contains(with, t) {
				i++
			}
		default:
			return a.all[i:]
		}
	}
	return nil
}

// texts are the words as they are.
func texts(all []value) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = v.text
	}
	return out
}

// changes is cd.
func (w *follower) changes(a arguments) {
	ops := a.operands()
	switch {
	case len(ops) == 0:
		if a.index("-") >= 0 {
			w.dirs = []string{some}
			return
		}
		w.dirs = []string{home}
	case ops[0].text == "-":
		w.dirs = []string{some}
	default:
		if path, _ := w.variable("CDPATH", place{}); len(path) == 1 && path[0].text != "" && path[0].text != anything && !strings.ContainsAny(ops[0].text[:1], "/."+home) {
			w.unknown("CDPATH decides where cd goes")
		}
		dirs := make([]string, len(w.dirs))
		for i, d := range w.dirs {
			dirs[i] = join(d, ops[0].text)
		}
		if strings.HasPrefix(ops[0].text, anything) { // cd "$x" stays where it is when x is empty
			dirs = union(dirs, w.dirs)
		}
		w.dirs = union(dirs[:1], dirs)
	}
}

// readsVariables is read: what it sets is known when its input is.
func (w *follower) readsVariables(name string, a arguments, p place) {
	v := value{anything, printed}
	if p.in != nil {
		v = *p.in
		v.taint |= printed
		if name == "read" {
			v.text = readText(v.text, a)
		}
	}
	names := a.operands("-p", "-t", "-n", "-N", "-d", "-u", "-i", "-a", "-ra", "-rd", "-rp", "-rn", "-C", "-c", "-s", "-O")
	array, isArray := a.option("-a", "-ra")
	if isArray {
		names = []value{array}
	}
	var fields []string
	if !strings.Contains(v.text, anything) {
		between := w.ifs()
		fields = strings.FieldsFunc(v.text, func(r rune) bool { return strings.ContainsRune(between, r) })
	}
	for i, x := range names {
		if !isName(x.text) {
			w.unknown("the name of a variable is known only when it runs")
			continue
		}
		w.decisive(x.text)
		field := v
		switch {
		case strings.Contains(v.text, anything):
		case isArray:
			list := make([]value, min(len(fields), maxLoop))
			for i := range list {
				list[i] = value{fields[i], v.taint}
			}
			w.set(x.text, [][]value{list}, p.maybe)
			continue
		case len(names) == 1:
		case i >= len(fields):
			field.text = ""
		case i == len(names)-1:
			field.text = strings.Join(fields[i:], cut(w.ifs(), 1))
		default:
			field.text = fields[i]
		}
		w.set(x.text, [][]value{{field}}, p.maybe)
	}
	if len(names) == 0 && name == "read" {
		w.set("REPLY", [][]value{{v}}, p.maybe)
	}
}

// readText is as much of s as read takes: up to a delimiter, or some characters, without backslashes.
func readText(s string, a arguments) string {
	end := "\n"
	if delimiter, ok := a.option("-d", "-rd"); ok {
		end = cut(delimiter.text, 1)
	}
	if end != "" {
		s, _, _ = strings.Cut(s, end)
	}
	if count, ok := a.option("-n", "-N", "-rn", "-rN"); ok {
		if n, err := strconv.Atoi(count.text); err == nil && n >= 0 {
			s = cut(s, n)
		}
	}
	if !a.flag("r", "ptnNdui") {
		s = strings.ReplaceAll(s, "\\", "")
	}
	return s
}

// parallel runs its command for each word behind :::, or line of its input.
func (w *follower) parallel(a arguments, in, p place) {
	cmd := a.from("-j", "--jobs", "-n", "-a", "--arg-file", "--joblog", "--delay", "--timeout", "-S", "--sshlogin", "--colsep", "-C", "-N", "-L", "-I", "--results", "--tmpdir", "--retries", "--load", "--memfree")
	var items []value
	for i, x := range cmd {
		if strings.HasPrefix(x.text, ":::") {
			for _, y := range cmd[i+1:] {
				if !strings.HasPrefix(y.text, ":::") {
					items = append(items, y)
				}
			}
			cmd = cmd[:i]
			break
		}
	}
	if items == nil && p.in != nil {
		items = w.fed(nil, "", p.in, "\n")
	}
	if len(cmd) == 0 {
		for _, x := range items {
			w.nested(x, in)
		}
		if len(items) == 0 {
			w.unknown("parallel runs what comes over its input")
		}
		return
	}
	if len(items) == 0 {
		items = []value{{text: anything}}
	}
	code := joined(cmd)
	for i, x := range items {
		if i == maxLoop {
			break
		}
		if strings.Contains(code.text, "{}") {
			w.nested(value{strings.ReplaceAll(code.text, "{}", x.text), code.taint}, in)
			continue
		}
		w.nested(value{code.text + " " + x.text, code.taint}, in)
	}
	if shells[cmd[0].text] || cmd[0].is("env") || cmd[0].is("busybox") { // there is a parallel that gives its words on as they are
		for _, x := range items[:min(len(items), 8)] {
			if again := replaced(cmd, "{}", x); strings.Contains(code.text, "{}") {
				w.run(again, in)
			} else {
				w.run(append(again, x), in)
			}
		}
	}
}

// remote is ssh: the words behind the host are joined, and a shell there runs them.
func (w *follower) remote(name string, a arguments, in place) {
	w.sshOptions(a, in)
	rest := a.from("-b", "-B", "-c", "-D", "-E", "-e", "-F", "-I", "-i", "-J", "-L", "-l", "-m", "-O", "-o", "-p", "-Q", "-R", "-S", "-W", "-w", "-M")
	if name == "sshpass" {
		if i := a.index("ssh"); i >= 0 {
			w.run(a.all[i:], in)
		}
		return
	}
	if len(rest) == 0 {
		return
	}
	w.host(rest[0])
	dirs := w.dirs
	defer func() { w.dirs = dirs }()
	w.dirs = []string{home}
	rest = rest[1:]
	if len(rest) > 0 && rest[0].is("--") {
		rest = rest[1:]
	}
	switch {
	case len(rest) > 0:
		w.nested(joined(rest), in)
	case in.in != nil: // a shell there reads it
		w.input(name, in)
	}
}

func (w *follower) sshOptions(a arguments, in place) {
	var options []string
	for i, x := range a.all {
		if x.is("-o") && i+1 < len(a.all) {
			options = append(options, a.all[i+1].text)
		} else if o, ok := strings.CutPrefix(x.text, "-o"); ok {
			options = append(options, o)
		}
	}
	if file, ok := a.option("-F"); ok {
		v, _ := w.content(file.text)
		for line := range strings.SplitSeq(v.text, "\n") {
			options = append(options, strings.TrimSpace(line))
		}
	}
	for _, o := range options {
		key, code, ok := strings.Cut(o, "=")
		if !ok {
			key, code, ok = strings.Cut(o, " ")
		}
		if ok && (strings.EqualFold(key, "ProxyCommand") || strings.EqualFold(key, "LocalCommand") || strings.EqualFold(key, "KnownHostsCommand")) && !strings.EqualFold(code, "none") {
			w.nested(exactly(code), in)
		}
	}
}

// container is docker exec and run, kubectl exec and their like.
func (w *follower) container(name string, a arguments, in place) {
	i := slices.IndexFunc(a.all, func(v value) bool {
		return v.is("exec") || v.is("run") || v.is("shell") || v.is("debug") || v.is("ssh")
	})
	if i < 0 || i > 4 {
		return
	}
	rest := a.all[i+1:]
	for _, x := range rest { // the whole machine is in the container's hands
		if x.is("--privileged") || strings.HasPrefix(x.text, "/:") || strings.HasPrefix(x.text, "-v/:") || strings.HasPrefix(x.text, "--volume=/:") {
			w.out.Privileged = true
		}
	}
	dirs := w.dirs
	w.dirs = []string{some}
	defer func() { w.dirs = dirs }()
	if code, ok := (arguments{rest}).option("--command"); ok && (name == "gcloud" || name == "az") {
		w.nested(code, in)
		return
	}
	if code, ok := (arguments{rest}).option("-c"); ok && name == "vagrant" {
		w.nested(code, in)
		return
	}
	if j := slices.IndexFunc(rest, func(v value) bool { return v.is("--") }); j >= 0 {
		if j+1 < len(rest) {
			w.run(rest[j+1:], in)
		}
		return
	}
	ops := arguments{rest}.from("-u", "--user", "-e", "--env", "-w", "--workdir", "--env-file", "-v", "--volume", "-p", "--publish", "--name", "--network", "--net", "-m", "--memory",
		"--cpus", "--entrypoint", "-h", "--hostname", "-l", "--label", "--mount", "--add-host", "--cap-add", "--security-opt", "--device", "--platform", "--gpus", "--restart", "--dns", "-n", "--namespace", "--pid", "--ipc", "--userns", "--shm-size", "--ulimit", "--log-driver", "--health-cmd", "--expose", "--link", "--ip", "--tmpfs", "--volumes-from", "--cidfile", "--index", "-c", "--container", "--context", "--kubeconfig", "-f")
	if entry, ok := (arguments{rest}).option("--entrypoint"); ok && len(ops) > 0 {
		w.run(append([]value{entry}, ops[1:]...), in)
		return
	}
	if name == "heroku" && len(ops) > 0 {
		w.run(ops, in)
	} else if len(ops) > 1 {
		w.run(ops[1:], in)
	}
}

func (w *follower) tmux(a arguments, in place) {
	for i, x := range a.all {
		rest := arguments{a.all[i+1:]}
		switch x.text {
		case "new-session", "new", "new-window", "neww", "split-window", "splitw", "respawn-pane", "respawn-window", "run-shell", "run", "if-shell", "display-popup", "popup", "pipe-pane":
			if ops := rest.operands("-s", "-n", "-t", "-c", "-x", "-y", "-e", "-F", "-l"); len(ops) > 0 {
				w.nested(joined(ops), in)
			}
			return
		case "send-keys", "send":
			var b strings.Builder
			for _, k := range rest.operands("-t", "-N") {
				switch k.text {
				case "Enter", "C-m", "KPEnter":
					b.WriteByte('\n')
				case "Space":
					b.WriteByte(' ')
				default:
					b.WriteString(k.text)
				}
			}
			w.nested(exactly(b.String()), in)
			return
		case "set-hook", "set", "set-option", "bind", "bind-key":
			for _, x := range rest.all {
				w.suspectCode(value{strings.Trim(strings.TrimPrefix(x.text, "run-shell "), `'"`), x.taint}, in)
			}
		}
	}
}

// search is find: what stands between -exec and ; or + runs for each file it finds.
func (w *follower) search(name string, a arguments, in place) {
	if name == "fd" || name == "fdfind" {
		for i, x := range a.all {
			if x.is("-x") || x.is("-X") || x.is("--exec") || x.is("--exec-batch") {
				found, cmd := value{text: some}, a.all[i+1:]
				if ops := (arguments{a.all[:i]}).operands("-t", "--type", "-e", "--extension", "-d", "--max-depth", "-E", "--exclude", "-S", "--size"); len(ops) > 1 && (ops[0].is(".") || ops[0].text == "") {
					found = value{ops[1].text, ops[1].taint | whole}
				}
				if !slices.ContainsFunc(cmd, func(v value) bool { return strings.Contains(v.text, "{") }) {
					cmd = append(slices.Clone(cmd), exactly("{}"))
				}
				w.run(replaced(cmd, "{}", found), in)
				return
			}
		}
		return
	}
	var roots []value
	i := 0
	for ; i < len(a.all); i++ {
		t := a.all[i].text
		if t == "-H" || t == "-L" || t == "-P" || strings.HasPrefix(t, "-O") {
			continue
		}
		if strings.HasPrefix(t, "-") || t == "(" || t == "!" {
			break
		}
		if a.all[i].text == anything {
			w.unknown("the conditions of find are known only when it runs")
		}
		roots = append(roots, a.all[i])
	}
	if len(roots) == 0 {
		roots = []value{exactly(".")}
	}
	if len(roots) > 8 {
		roots = roots[:8]
	}
	filtered, named := false, some
	for ; i < len(a.all); i++ {
		switch x := a.all[i]; x.text {
		case anything:
			w.unknown("the conditions of find are known only when it runs")
		case "-name", "-iname", "-path", "-ipath", "-wholename", "-regex", "-iregex", "-mtime", "-mmin", "-atime", "-amin", "-ctime", "-cmin", "-newer", "-size", "-user", "-empty", "-perm", "-links", "-inum", "-samefile":
			not := i > 0 && (a.all[i-1].is("!") || a.all[i-1].is("-not"))
			if x.text == "-empty" {
				filtered = true
			} else if i+1 < len(a.all) {
				if i++; not { // nearly all
					continue
				}
				filtered = filtered || strings.Trim(a.all[i].word(), "*") != ""
				if x.is("-name") || x.is("-iname") {
					named = quoting.Replace(a.all[i].text)
				}
			}
		case "-delete":
			for _, root := range roots {
				w.deletes(root, filtered, append([]value{exactly(name)}, a.all...))
			}
		case "-fprint", "-fprintf", "-fls", "-fprint0":
			if i+1 < len(a.all) {
				w.writes(a.all[i+1], a.all)
			}
		case "-exec", "-execdir", "-ok", "-okdir":
			from := i + 1
			for i = from; i < len(a.all) && !a.all[i].is(";") && !(a.all[i].is("+") && a.all[i-1].is("{}")); i++ {
			}
			if from == i {
				w.unknown("find runs no command that can be told")
				return
			}
			for _, root := range roots {
				found := value{root.text + "/" + named, root.taint}
				if !filtered {
					found = value{root.text, root.taint | whole}
				}
				w.run(replaced(a.all[from:i], "{}", found), in)
			}
		}
	}
}

func replaced(args []value, what string, by value) []value {
	out := slices.Clone(args)
	for i, a := range out {
		if strings.Contains(a.text, what) {
			out[i] = value{strings.ReplaceAll(a.text, what, by.text), a.taint | by.taint}
		}
	}
	return out
}

var (
	awkRuns  = regexp.MustCompile(`system\s*\(\s*"((?:[^"\\]|\\.)*)"|"((?:[^"\\]|\\.)*)"\s*\|\s*&?\s*getline|\|&?\s*"((?:[^"\\]|\\.)*)"`)
	awkFile  = regexp.MustCompile(`>>?\s*"((?:[^"\\]|\\.)*)"`)
	awkReads = regexp.MustCompile(`getline(?:\s+\w+)?\s*<\s*"((?:[^"\\]|\\.)*)"`)
	awkAny   = regexp.MustCompile(`system\s*\(|\|\s*&?\s*getline|\|&?\s*[A-Za-z_$(]`)
)

func (w *follower) awk(a arguments, in, p place) {
	if file, ok := a.option("-f", "--file"); ok {
		if v, ok := w.programFile(file.text, p); ok {
			w.awkProgram(v, in)
		}
		return
	}
	if code, ok := a.option("-e", "--source"); ok {
		w.awkProgram(code, in)
		return
	}
	if ops := a.operands("-F", "-v", "-o", "-i", "--assign", "--field-separator"); len(ops) > 0 {
		w.awkProgram(ops[0], in)
	}
}

// programFile is what the text knows of a file of code. One of which it knows nothing is a
// script like any other, unless it is the input.
func (w *follower) programFile(file string, p place) (value, bool) {
	if !isStdin(file) {
		return w.content(file)
	}
	if p.in != nil {
		return *p.in, true
	}
	return value{text: anything}, true
}

func (w *follower) awkProgram(code value, in place) {
	if !code.known() && code.text == anything {
		w.unknown("awk is given code that is known only when it runs")
		return
	}
	src := cut(code.text, maxText)
	runs := awkRuns.FindAllStringSubmatch(src, maxBraces)
	for _, m := range runs {
		w.nested(exactly(strings.ReplaceAll(m[1]+m[2]+m[3], `\"`, `"`)), in)
	}
	if len(awkAny.FindAllString(src, maxBraces)) > 0 && !strings.Contains(src, "||") || strings.Contains(src, "system") {
		if len(runs) < len(awkAny.FindAllString(src, maxBraces)) || strings.Contains(src, "@") {
			w.unknown("awk runs what is known only then")
		}
	}
	for _, m := range awkFile.FindAllStringSubmatch(src, maxBraces) {
		w.writes(exactly(m[1]), []value{exactly("awk"), exactly(m[0])})
	}
	for _, m := range awkReads.FindAllStringSubmatch(src, maxBraces) {
		w.reads(exactly(m[1]))
	}
	if strings.Contains(src, "@load") {
		w.unknown("awk runs what is known only then")
	}
}

var (
	sedRuns  = regexp.MustCompile(`(?:^|[;{}\n]|[0-9$/])\s*e\s+([^\n]+)`)
	sedAlone = regexp.MustCompile(`(?:^|[;{}\n]|[0-9$])\s*e\s*(?:$|[;}\n])`)
	sedEval  = regexp.MustCompile(`(?:^|[;{}\n\s/])s(.).*[/|,#:!@][gpiImM0-9]*e[gpiImM0-9]*\s*(?:$|[;}\n])`)
	sedFiles = regexp.MustCompile(`(?:^|[;{}\n]|[0-9$/])\s*[wW]\s+(\S+)|/w\s+(\S+)`)
)

func (w *follower) sed(a arguments, in, p place) {
	codes := []value{}
	for i, x := range a.all {
		if (x.is("-e") || x.is("--expression") || x.is("-ne")) && i+1 < len(a.all) {
			codes = append(codes, a.all[i+1])
		}
		if rest, ok := strings.CutPrefix(x.text, "--expression="); ok {
			codes = append(codes, exactly(rest))
		}
	}
	if file, ok := a.option("-f", "--file"); ok {
		v, ok := w.programFile(file.text, p)
		if !ok {
			return
		}
		codes = append(codes, v)
	}
	if ops := a.operands(); len(codes) == 0 && len(ops) > 0 {
		codes = ops[:1]
	}
	for _, c := range codes {
		if c.text == anything {
			w.unknown("sed is given code that is known only when it runs")
			continue
		}
		src := cut(c.text, maxText)
		for _, m := range sedRuns.FindAllStringSubmatch(src, maxBraces) {
			w.nested(exactly(m[1]), in)
		}
		if sedAlone.MatchString(src) {
			w.unknown("sed runs what it reads")
		}
		if sedEval.MatchString(src) {
			w.unknown("sed runs what it reads")
			for _, m := range sedRepl.FindAllStringSubmatch(src, maxBraces) {
				w.suspectCode(exactly(m[1]), in)
			}
		}
		for _, m := range sedFiles.FindAllStringSubmatch(src, maxBraces) {
			w.writes(exactly(m[1]+m[2]), []value{exactly("sed"), c})
		}
	}
}

var sedRepl = regexp.MustCompile(`s/[^/]*/([^/]*)/`)

// editor is vim and the like: -c and + are commands, of which ! runs a shell's.
func (w *follower) editor(name string, a arguments, in, p place) {
	var codes []string
	for i, x := range a.all {
		switch {
		case (x.is("-c") || x.is("--cmd") || x.is("--eval") || x.is("-eval")) && i+1 < len(a.all):
			codes = append(codes, a.all[i+1].text)
		case strings.HasPrefix(x.text, "+"):
			codes = append(codes, x.text[1:])
		case strings.HasPrefix(x.text, "-c") && len(x.text) > 2:
			codes = append(codes, x.text[2:])
		case (x.is("-sc") || x.is("-esc") || x.is("-Esc")) && i+1 < len(a.all):
			codes = append(codes, a.all[i+1].text)
		}
	}
	if p.in != nil && (name == "ex" || name == "ed" || a.index("-s") >= 0 || a.index("-es") >= 0) {
		if p.in.open() {
			w.unknown(name + " runs what comes over its input")
		}
		codes = append(codes, strings.Split(p.in.text, "\n")...)
	}
	for i, code := range codes {
		if i > maxLoop {
			break
		}
		code = strings.TrimLeft(code, ": %.,$0123456789")
		for _, prefix := range []string{"silent! ", "silent ", "sil! "} {
			code = strings.TrimPrefix(code, prefix)
		}
		switch {
		case strings.HasPrefix(code, "!"):
			w.nested(exactly(code[1:]), in)
		case strings.HasPrefix(code, "r!") || strings.HasPrefix(code, "r !") || strings.HasPrefix(code, "w !") || strings.HasPrefix(code, "w!") && strings.Contains(code, "!"):
			_, cmd, _ := strings.Cut(code, "!")
			w.nested(exactly(cmd), in)
		case vimRuns.MatchString(code):
			w.unknown(name + " is given code that is not shell")
			w.foreign(name, exactly(code), in)
		case strings.HasPrefix(code, "te ") || strings.HasPrefix(code, "term"):
			_, cmd, _ := strings.Cut(code, " ")
			w.nested(exactly(cmd), in)
		}
	}
}

var vimRuns = regexp.MustCompile(`^(?:py|python|py3|python3|lua|perl|ruby|tcl|call|let|source|so|\(|exec)\b|system\(|shell-command|^\(`)

func (w *follower) powershell(code value) {
	text := strings.ToLower(code.text)
	for _, bad := range []string{"remove-item", "format-volume", "clear-disk", "rd /s", "rmdir /s", "del /s", "del /f", "format c:", "stop-computer", "restart-computer"} {
		if strings.Contains(text, bad) {
			w.destroys("files", []value{code})
			return
		}
	}
	if strings.Contains(text, "iex") && strings.Contains(text, "download") || strings.Contains(text, "invoke-expression") && strings.Contains(text, "http") {
		w.out.FetchToInterpreter = true
	}
}

// environment follows a variable that a program takes a command from.
func (w *follower) environment(name string, v value, p place) {
	switch name {
	case "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_PARAMETERS", "GCONV_PATH", "OPENSSL_CONF", "OPENSSL_ENGINES":
		if v.text != "" && !v.is("/dev/null") {
			w.unknown("the variable " + name + " makes a program run code")
		}
	case "MAKEFLAGS", "GOFLAGS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS":
		if strings.Contains(v.text, "--eval") || strings.Contains(v.text, "exec") || strings.Contains(v.text, "-javaagent") || strings.Contains(v.text, "-agent") {
			w.unknown("the variable " + name + " makes a program run code")
		}
	case "GIT_SSH_COMMAND", "GIT_SSH", "GIT_PAGER", "PAGER", "MANPAGER", "EDITOR", "VISUAL", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_ASKPASS",
		"SSH_ASKPASS", "SUDO_ASKPASS", "LESSOPEN", "LESSCLOSE", "BROWSER", "TAR_OPTIONS", "RSYNC_RSH", "FZF_DEFAULT_COMMAND", "PROMPT_COMMAND", "BASH_ENV", "ENV", "PYTHONSTARTUP", "RUSTC_WRAPPER", "NODE_OPTIONS", "PERL5OPT", "RUBYOPT":
		p.in = nil
		if name == "BASH_ENV" || name == "ENV" || name == "PYTHONSTARTUP" || strings.HasSuffix(name, "OPT") || strings.HasSuffix(name, "OPTIONS") {
			w.unknown("the variable " + name + " makes a program run code")
			return
		}
		if v.text = strings.TrimLeft(v.text, "|- "); v.text != "" && v.text != "true" && v.text != ":" {
			w.nested(v, p.wrapped(name))
		}
	case "LESS":
		if _, code, ok := strings.Cut(v.text, "+!"); ok {
			p.in = nil
			w.nested(value{code, v.taint}, p.wrapped(name))
		}
	case "PS1": // each prompt expands it once more
		if strings.Contains(v.text, "$(") || strings.Contains(v.text, "`") {
			p.in = nil
			w.nested(value{`: "` + strings.ReplaceAll(v.text, `"`, "") + `"`, v.taint}, p)
		}
	case "CC", "CXX", "LD", "AR":
		p.in = nil
		w.suspectCode(v, p.wrapped(name))
	case "DOCKER_HOST", "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY":
		w.url(v.text)
	default:
		switch {
		case strings.HasPrefix(name, "GIT_CONFIG_VALUE_"):
			w.unknown("the variable " + name + " makes a program run code")
		case strings.HasSuffix(name, "PAGER") || strings.HasSuffix(name, "EDITOR") || strings.HasSuffix(name, "EDIT") || strings.HasSuffix(name, "_SSH") || strings.HasSuffix(name, "_RSH"):
			p.in = nil
			w.suspectCode(v, p.wrapped(name))
		}
	}
}
