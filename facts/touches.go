package facts

import (
	"path"
	"slices"
	"strings"
)

// A role says what a command does with the files among its operands.
type role struct {
	operands string // r: reads all; w: writes all; c: reads all but the last, which it writes; p: reads all but the first, which is no file
	values   string // options with a value in the next word
	reads    string // options whose value is a file that is read
	writes   string // and one that is written
	program  string // options that take the place of the first operand of p
}

// roles are the commands whose operands are files.
var roles = map[string]role{
	"cat": {operands: "r"}, "tac": {operands: "r"}, "nl": {operands: "r"}, "less": {operands: "r"}, "more": {operands: "r"}, "most": {operands: "r"}, "bat": {operands: "r", values: "-l -r --style --paging -m"}, "batcat": {operands: "r"},
	"head": {operands: "r", values: "-n -c --lines --bytes"}, "tail": {operands: "r", values: "-n -c --lines --bytes"}, "wc": {operands: "r"}, "od": {operands: "r", values: "-A -j -N -t -w"}, "xxd": {operands: "r", values: "-l -s -c -g"}, "hexdump": {operands: "r", values: "-n -s -e"}, "hd": {operands: "r"}, "strings": {operands: "r", values: "-n"},
	"base64": {operands: "r", values: "-w -b", reads: "-i", writes: "-o"}, "base32": {operands: "r", values: "-w"}, "basenc": {operands: "r"}, "uuencode": {operands: "r"}, "md5sum": {operands: "r"}, "sha1sum": {operands: "r"}, "sha256sum": {operands: "r"}, "shasum": {operands: "r", values: "-a"}, "cksum": {operands: "r"}, "diff": {operands: "r", values: "-U -C -x -I"}, "cmp": {operands: "r"}, "comm": {operands: "r"}, "join": {operands: "r", values: "-1 -2 -t -o -e -a"}, "paste": {operands: "r", values: "-d"}, "fold": {operands: "r", values: "-w"}, "fmt": {operands: "r", values: "-w"}, "rev": {operands: "r"}, "pr": {operands: "r"}, "column": {operands: "r", values: "-s -o -t"}, "expand": {operands: "r"}, "cut": {operands: "r", values: "-d -f -c -b --output-delimiter"}, "uniq": {operands: "c", values: "-f -s -w"}, "sort": {operands: "r", values: "-k -t -S -T", writes: "-o --output", reads: "--files0-from"}, "jq": {operands: "p", values: "--arg --argjson", reads: "--slurpfile --rawfile -f --from-file", program: "-f --from-file"}, "yq": {operands: "p"},
	"grep": {operands: "p", values: "-A -B -C -m --include --exclude --exclude-dir -d -D", reads: "-f --file", program: "-e -f --regexp --file"}, "egrep": {operands: "p", values: "-A -B -C -m", program: "-e -f"}, "fgrep": {operands: "p", values: "-A -B -C -m", program: "-e -f"}, "rg": {operands: "p", values: "-A -B -C -m -g -t -T --glob --type", program: "-e -f"}, "ag": {operands: "p"}, "zgrep": {operands: "p", program: "-e -f"}, "ack": {operands: "p"},
	"sed": {operands: "p", values: "-E", program: "-e -f --expression --file"}, "awk": {operands: "p", values: "-F -v", reads: "-f", program: "-f"}, "gawk": {operands: "p", values: "-F -v -i", reads: "-f", program: "-f"}, "mawk": {operands: "p", values: "-F -v", reads: "-f", program: "-f"},
	"cp": {operands: "c", values: "-S"}, "gcp": {operands: "c"}, "install": {operands: "c", values: "-m -o -g"}, "ln": {operands: "c"}, "mv": {operands: "c"}, "scp": {operands: "c", values: "-i -P -l -o -c -F -S -J"}, "rsync": {operands: "c", values: "-e --exclude --include -f --rsh"}, "rcp": {operands: "c"}, "ditto": {operands: "c"}, "dd": {},
	"rm": {operands: "w"}, "rmdir": {operands: "w"}, "unlink": {operands: "w"}, "shred": {operands: "w", values: "-n -s"}, "truncate": {operands: "w", values: "-s -r"}, "touch": {operands: "w", values: "-d -t -r"}, "mkdir": {operands: "w", values: "-m"}, "tee": {operands: "w"}, "mkfifo": {operands: "w", values: "-m"}, "mknod": {operands: "w"}, "sponge": {operands: "w"}, "sudoedit": {operands: "w"}, "ex": {operands: "w", values: "-c"}, "ed": {operands: "w"}, "nano": {operands: "w"}, "vim": {operands: "w", values: "-c --cmd"}, "vi": {operands: "w", values: "-c"},
	"chmod": {operands: "pw"}, "chown": {operands: "pw"}, "chgrp": {operands: "pw"}, "chattr": {operands: "pw"}, "setfacl": {operands: "w", values: "-m -x"}, "patch": {operands: "w", values: "-p -d", reads: "-i --input"},
	"tar": {values: "-C --directory --exclude -b", operands: "tar"}, "gtar": {operands: "tar"}, "bsdtar": {operands: "tar"}, "zip": {operands: "zip", values: "-x -P"}, "7z": {operands: "r"}, "gzip": {operands: "r"}, "gunzip": {operands: "r"}, "zcat": {operands: "r"}, "bzip2": {operands: "r"}, "xz": {operands: "r"}, "zstd": {operands: "r"}, "unzip": {operands: "r", values: "-d -P"},
	"source": {operands: "r"}, ".": {operands: "r"}, "open": {operands: "r"}, "xclip": {operands: "r", values: "-selection -sel"}, "gpg": {operands: "r", values: "-u -r", writes: "-o --output"}, "iconv": {operands: "r", values: "-f -t", writes: "-o --output"}, "openssl": {reads: "-in -key -inkey", writes: "-out"}, "ssh-keygen": {reads: "-f"}, "ssh-add": {operands: "r"}, "xmllint": {operands: "r"}, "csvcut": {operands: "r"}, "strace": {}, "file": {}, "dotenv": {reads: "-f -e"}, "envsubst": {}, "mail": {reads: "-a -A", values: "-s -r"}, "mutt": {reads: "-a -i"}, "sendmail": {}, "git": {}, "docker": {reads: "--env-file"},
	"curl": {reads: "-T --upload-file -K --config -b --cookie -n --netrc-file --cert --key", writes: "-o --output -c --cookie-jar -D --dump-header"}, "wget": {reads: "--post-file --body-file -i", writes: "-O --output-document -o -a"}, "aria2c": {writes: "-o --out"}, "http": {}, "nc": {}, "kubectl": {reads: "-f --filename --kubeconfig"}, "ansible-vault": {operands: "p"}, "sops": {operands: "r"}, "age": {operands: "r", values: "-r -R -o -i"}, "pbcopy": {}, "vault": {}, "locate": {}, "date": {reads: "-f --file"}, "psql": {reads: "-f --file"}, "mysql": {},
}

// touches notes the files and hosts of a command, and what it leaves behind that runs later.
func (w *follower) touches(name string, a arguments, args []value, p place) {
	if r, ok := roles[name]; ok {
		w.operandFiles(name, r, a, args)
	}
	w.talks(name, a, args, p)
	if fetchers[name] && slices.ContainsFunc(a.all, func(v value) bool { return v.taint&environment != 0 }) {
		w.list(&w.out.Secrets, "environment")
	}
	w.lasts(name, a)
	switch name {
	case "dd":
		for _, x := range a.all {
			if f, ok := strings.CutPrefix(x.text, "if="); ok {
				w.reads(value{f, x.taint})
			}
			if f, ok := strings.CutPrefix(x.text, "of="); ok {
				w.writes(value{f, x.taint}, nil)
				if p.in != nil {
					w.wrote(f, *p.in)
				}
			}
		}
	case "scp", "rsync", "rcp", "aws", "gsutil", "gcloud", "s3cmd":
		w.copied(name, a)
	case "cp", "mv", "ln", "gcp", "install": // a copy of what the text itself wrote is that too
		if ops := a.operands("-t", "-m", "-o", "-g"); len(ops) == 2 {
			if v, ok := w.content(ops[0].text); ok {
				w.wrote(ops[1].text, v)
			}
		}
		if mode, ok := a.option("-m", "--mode"); ok && name == "install" && setsID(mode.text) {
			w.out.Privileged = true
			w.persists(joined(args).shown())
		}
	case "chmod", "setcap", "setfacl":
		if ops := a.operands(); name == "setcap" || len(ops) > 0 && setsID(ops[0].text) {
			w.out.Privileged = true
			w.persists(joined(args).shown())
		}
	case "sudoedit":
		w.out.Privileged = true
	case "printenv":
		for _, x := range a.operands() {
			w.secretVariable(x.text)
		}
	case "tee", "sponge":
		for _, x := range a.operands() {
			if p.in != nil {
				w.wrote(x.text, *p.in)
			} else {
				w.wrote(x.text, value{anything, printed})
			}
		}
	case "tar", "gtar", "bsdtar", "unzip":
		w.unpacks(name, a, p)
		if a.index("--remove-files") >= 0 {
			for _, x := range a.operands("-f", "-C", "--directory", "--exclude") {
				w.deletes(x, false, args)
			}
		}
	case "hg", "svn":
		if sub := a.operands(); len(sub) > 1 && (sub[0].is("clone") || sub[0].is("co") || sub[0].is("checkout") || sub[0].is("export")) {
			w.cloned(arguments{sub[1:]})
		}
	case "docker", "podman", "kubectl", "oc", "az", "rclone", "gh", "glab", "mc", "b2", "croc", "wormhole", "socat":
		if ops := a.operands(); name == "gh" && len(ops) > 2 && ops[0].is("repo") && ops[1].is("clone") {
			w.wroteTree(path.Base(ops[len(ops)-1].text))
		} else if name == "gh" && len(ops) > 1 && ops[0].is("release") && ops[1].is("download") {
			w.wroteTree(".")
		}
		for _, x := range a.operands() {
			if kind, file, ok := strings.Cut(x.text, ":"); ok && name == "socat" && (strings.EqualFold(kind, "file") || strings.EqualFold(kind, "open") || strings.EqualFold(kind, "gopen")) {
				x.text, _, _ = strings.Cut(file, ",")
			}
			if w.secretFile(x) {
				w.reads(x)
			}
		}
	case "git":
		_, sub, after := subcommand(a)
		if file, ok := after.option("--output"); ok {
			w.writes(file, args)
		} else if file, ok := after.option("-o"); ok && sub == "archive" {
			w.writes(file, args)
		}
		if sub == "credential" && len(after.all) > 0 && after.all[0].is("fill") {
			w.list(&w.out.Secrets, "git credential fill")
		}
		if sub == "clone" {
			w.cloned(after)
		} else if sub == "add" || sub == "show" || sub == "hash-object" || sub == "diff" || sub == "cat-file" {
			for _, x := range after.operands() {
				if _, file, ok := strings.Cut(x.text, ":"); ok && (sub == "show" || sub == "cat-file") {
					x.text = file
				}
				if w.secretFile(x) {
					w.reads(x)
				}
			}
		}
	}
}

// copied notes what is copied to and from another machine.
func (w *follower) copied(name string, a arguments) {
	ops := a.operands("-i", "-P", "-l", "-o", "-c", "-F", "-S", "-J", "-e", "--rsh", "--exclude", "--include", "--profile", "--region")
	for i, x := range ops {
		if w.secretFile(x) {
			w.reads(x)
		}
		if i == len(ops)-1 || !strings.Contains(x.text, ":") {
			continue
		}
		to, v := ops[len(ops)-1].text, value{anything, fetched | printed}
		w.wrote(to, v)
		_, file, _ := strings.Cut(x.text, ":")
		w.wrote(join(to, path.Base(file)), v)
	}
}

// cloned remembers where a repository that was fetched lies.
func (w *follower) cloned(a arguments) {
	ops := a.operands("-b", "--branch", "-o", "--origin", "-c", "--config", "--depth", "-j", "--jobs", "--reference", "--separate-git-dir", "--template", "-u", "--upload-pack", "--filter")
	if len(ops) == 0 || !strings.Contains(ops[0].text, ":") { // a directory of this machine
		return
	}
	dir := strings.TrimSuffix(path.Base(ops[0].text), ".git")
	if _, name, ok := strings.Cut(dir, ":"); ok {
		dir = name
	}
	if len(ops) > 1 {
		dir = ops[1].text
	}
	w.wroteTree(dir)
}

// unpacks notes where an archive goes to, and remembers that what is there was fetched when the archive was.
func (w *follower) unpacks(name string, a arguments, p place) {
	ops := a.operands("-C", "--directory", "-d", "--exclude", "-b")
	if name != "unzip" && !a.has("x", "--extract", "--get") && !(len(ops) > 0 && strings.Trim(ops[0].text, "xzvfpjJkP") == "" && strings.Contains(ops[0].text, "x")) {
		return
	}
	into, ok := a.option("-C", "--directory", "-d")
	if ok {
		w.writes(into, nil)
	} else {
		into = exactly(".")
	}
	from := p.in != nil && p.in.taint&fetched != 0
	for _, x := range a.all {
		v, ok := w.content(x.text)
		from = from || ok && v.taint&fetched != 0
	}
	if from {
		w.wroteTree(into.text)
	}
}

// setsID reports whether a mode of chmod lets whoever runs the file be its owner.
func setsID(mode string) bool {
	if len(mode) == 4 && isNumber(mode) && mode[0] >= '2' && mode[0] <= '7' || len(mode) == 5 && isNumber(mode) && mode[1] >= '2' {
		return true
	}
	_, what, plus := strings.Cut(mode, "+")
	_, what2, equal := strings.Cut(mode, "=")
	return plus && strings.Contains(what, "s") || equal && strings.Contains(what2, "s")
}

func (w *follower) operandFiles(name string, r role, a arguments, args []value) {
	var ops []value
	given := false // an option in place of the first operand
	for i := 0; i < len(a.all); i++ {
		x := a.all[i]
		t := x.text
		if t == "--" {
			ops = append(ops, a.all[i+1:]...)
			break
		}
		if len(t) < 2 || t[0] != '-' {
			ops = append(ops, x)
			continue
		}
		option, attached, has := t, "", false
		if strings.HasPrefix(t, "--") {
			option, attached, has = strings.Cut(t, "=")
		} else if len(t) > 2 && (listed(r.reads, t[:2]) || listed(r.writes, t[:2]) || listed(r.program, t[:2])) {
			option, attached, has = t[:2], t[2:], true
		} else if len(t) > 2 && listed(r.writes+" "+r.reads+" "+r.program, "-"+t[len(t)-1:]) { // -fsSLo file
			option = "-" + t[len(t)-1:]
		}
		given = given || listed(r.program, option)
		v := value{attached, x.taint}
		known := listed(r.reads, option) || listed(r.writes, option) || listed(r.program, option)
		if !has && (known || listed(r.values, option)) && i+1 < len(a.all) {
			i++
			v = a.all[i]
		}
		switch {
		case listed(r.reads, option):
			v.text = strings.TrimPrefix(v.text, "@")
			w.reads(v)
		case listed(r.writes, option):
			w.writes(v, args)
			if fetchers[name] {
				w.wrote(v.text, value{anything, fetched | printed})
			}
		}
	}
	if a.has("i", "--in-place", "--inplace") && (name == "sed" || name == "yq") || name == "gawk" && a.index("inplace") >= 0 {
		edited := ops
		if !given {
			edited = ops[min(len(ops), 1):]
		}
		for _, x := range edited {
			w.writes(x, args)
		}
	}
	switch r.operands {
	case "r":
		for _, x := range ops {
			w.reads(x)
		}
	case "w":
		for _, x := range ops {
			w.writes(x, nil)
		}
	case "pw":
		for _, x := range ops[min(len(ops), 1):] {
			w.writes(x, nil)
		}
	case "p":
		if !given && len(ops) > 0 {
			ops = ops[1:]
		}
		for _, x := range ops {
			w.reads(x)
		}
	case "c":
		if t, ok := a.option("-t", "--target-directory"); ok && name != "rsync" && name != "scp" {
			w.writes(t, args)
		} else if len(ops) > 1 {
			w.writes(ops[len(ops)-1], args)
			ops = ops[:len(ops)-1]
		}
		for _, x := range ops {
			if name == "mv" {
				w.writes(x, nil)
			}
			if name != "ln" || !a.has("s", "--symbolic") || w.secretFile(x) {
				w.reads(x)
			}
		}
	case "tar", "zip":
		for i, x := range ops {
			switch {
			case i == 0 && r.operands == "tar" && strings.Trim(x.text, "cxtrujJzvfpkAWPh") == "" && len(x.text) < 8:
			case i <= 1 && (strings.HasSuffix(x.text, "z") || strings.HasSuffix(x.text, ".tar") || strings.HasSuffix(x.text, ".zip")):
				if a.has("x") || i == 1 && strings.Contains(ops[0].text, "x") {
					w.reads(x)
				} else {
					w.writes(x, args)
				}
			default:
				w.reads(x)
			}
		}
	}
}

// reads notes a file that is read, and returns what the text knows of its content.
func (w *follower) reads(x value) value {
	for _, name := range w.names(x) {
		w.list(&w.out.Reads, name)
	}
	if w.secretFile(x) {
		w.list(&w.out.Secrets, w.names(x)[0])
	}
	if v, ok := w.content(x.text); ok {
		return v
	}
	return value{text: anything}
}

// writes notes a file that is written. args is what overwrites it, or nil where that is judged elsewhere.
func (w *follower) writes(x value, args []value) {
	if x.is("/dev/null") || strings.HasPrefix(x.text, "/dev/fd/") {
		w.list(&w.out.Writes, x.word())
		return
	}
	for _, name := range w.names(x) {
		w.list(&w.out.Writes, name)
	}
	if args != nil {
		w.overwrites(x, args)
	}
	if lastingFile(w.at(x.text)) {
		w.persists(w.names(x)[0])
	}
}

// names are what a file is called from where the text begins: as written, or behind the
// directories that the text may have gone to.
func (w *follower) names(x value) []string {
	out := make([]string, len(w.dirs))
	for i, dir := range w.dirs {
		if dir != w.cwd && !strings.HasPrefix(x.text, "/") && !strings.HasPrefix(x.text, home) && !strings.HasPrefix(x.text, "@") {
			x := value{join(dir, x.text), x.taint}
			out[i] = x.word()
			continue
		}
		out[i] = x.word()
	}
	return out
}

func (w *follower) persists(x string) { w.list(&w.out.Persists, x) }

// lastingFile reports whether a file runs by itself, or opens a door, later.
func lastingFile(at string) bool {
	base := path.Base(at)
	switch base {
	case ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".zshrc", ".zprofile", ".zshenv", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".inputrc", ".xinitrc", ".xprofile", ".xsession", ".xsessionrc",
		".vimrc", ".gvimrc", ".pam_environment", "authorized_keys", "authorized_keys2", "known_hosts2", ".gitconfig", ".bash_aliases", ".envrc", "ld.so.preload", "sudoers", "rc.local", ".mcp.json", ".npmrc", ".pypirc", ".rhosts", ".shosts", "sitecustomize.py", "usercustomize.py", ".pythonrc", ".irbrc", ".rprofile", ".Rprofile", ".tmux.conf", ".screenrc", ".wgetrc", ".curlrc",
		".emacs", ".gdbinit", ".psqlrc", ".sqliterc", ".pdbrc", ".gemrc", ".forward", ".procmailrc", "pip.conf", "init.gradle", ".gitlab-ci.yml", "Jenkinsfile":
		return true
	case "ls", "ssh", "git", "cat", "rm", "cp", "mv", "sudo", "su", "sh", "bash", "zsh", "env": // before the system's own
		return strings.HasSuffix(path.Dir(at), "/bin")
	}
	if strings.HasSuffix(base, ".pth") && strings.Contains(at, "-packages/") {
		return true
	}
	for _, part := range []string{"/.ssh/", "/.git/hooks/", "/.husky/", "/etc/cron", "/var/spool/cron", "/etc/profile", "/etc/systemd/", "/lib/systemd/", "/.config/systemd/", "/etc/init.d/", "/etc/rc", "/.config/autostart/", "/etc/xdg/autostart/",
		"/LaunchAgents/", "/LaunchDaemons/", "/etc/sudoers.d/", "/etc/pam.d/", "/etc/udev/rules.d/", "/etc/ld.so.conf", "/.config/fish/", "/etc/apt/apt.conf.d/", "/etc/bash", "/etc/zsh", "/.claude/", "/.codex/", "/.gemini/", "/.cursor/", "/etc/environment", "/etc/update-motd.d/", "/.vim/plugin/", "/.config/nvim/", "/etc/modprobe.d/", "/etc/modules", "/etc/anacrontab", "/etc/xinetd.d/", "/etc/inetd.conf", "/etc/logrotate.d/", "/etc/dpkg/dpkg.cfg", "/etc/binfmt.d/", "/.config/environment.d/", "/.emacs.d/", "/.ipython/", "/.circleci/", "/.cargo/config", "/.vscode/tasks.json", "/.local/share/systemd/", "/etc/network/if-up.d/", "/etc/NetworkManager/dispatcher.d/", "/.git/config", "/StartupItems/", "/Startup/", "/.github/workflows/"} {
		if strings.Contains(at, part) || strings.HasPrefix(at, part[1:]) && part[1] == '.' {
			return true
		}
	}
	switch at {
	case "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/ssh/sshd_config", "/etc/inittab":
		return true
	}
	return false
}

// lasts notes commands that leave something behind that runs later or opens a door.
func (w *follower) lasts(name string, a arguments) {
	ops := a.operands("-u", "-p", "-o", "-g", "-s", "-G", "-d", "-c")
	first := ""
	if len(ops) > 0 {
		first = ops[0].text
	}
	lasts := false
	switch name {
	case "crontab":
		lasts = !a.has("lr")
	case "systemctl":
		lasts = slices.Contains([]string{"enable", "link", "edit", "reenable", "add-wants", "preset", "set-environment", "import-environment"}, first)
	case "launchctl":
		lasts = slices.Contains([]string{"load", "bootstrap", "submit", "enable", "setenv"}, first)
	case "update-rc.d", "ssh-copy-id", "useradd", "adduser", "usermod", "chpasswd", "passwd", "visudo", "chkconfig", "chsh", "groupmems", "gpasswd", "newusers", "vipw", "schtasks", "loginctl", "npm-login", "authconfig", "dscl", "sysadminctl", "rc-update":
		lasts = name != "loginctl" || first == "enable-linger"
		lasts = lasts && !(name == "passwd" && a.has("S", "--status")) && !(name == "schtasks" && slices.ContainsFunc(a.all, func(v value) bool { return strings.EqualFold(v.text, "/query") }))
	case "update-alternatives":
		lasts = a.has("", "--install", "--set")
	case "sysctl":
		lasts = slices.ContainsFunc(a.all, func(v value) bool {
			return strings.HasPrefix(v.text, "kernel.core_pattern=") || strings.HasPrefix(v.text, "kernel.modprobe=")
		})
	case "defaults":
		lasts = first == "write" && slices.ContainsFunc(a.all, func(v value) bool { return v.is("LoginHook") || v.is("LogoutHook") })
	case "insmod", "modprobe", "kextload":
		lasts = !a.has("r", "--remove")
		w.out.Privileged = true
	case "pm2":
		lasts = first == "startup" || first == "save"
	}
	if lasts {
		w.persists(strings.TrimSpace(name + " " + value{text: first}.shown()))
	}
}

// secretFile reports whether a file is one that well-known programs keep secrets in.
func (w *follower) secretFile(x value) bool {
	for _, name := range []string{x.text, strings.TrimPrefix(x.text, "@")} {
		if secretPath(w.at(name)) {
			return true
		}
	}
	return false
}

func secretPath(at string) bool {
	base := strings.ToLower(path.Base(at))
	dir := path.Base(path.Dir(at))
	switch base {
	case ".env", ".envrc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc", ".git-credentials", ".vault-token", ".htpasswd", "credentials.json", "service-account.json", "serviceaccount.json", "secrets.yml", "secrets.yaml", "secrets.json", "secrets.toml", "master.key", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ed25519_sk", "id_ecdsa_sk",
		"shadow", "gshadow", "shadow-", "sudoers", "login.keychain-db", "login.keychain", "logins.json", "key4.db", "cookies.sqlite", "login data", "wallet.dat", ".dockercfg", "kubeconfig", ".bash_history", ".zsh_history", ".mysql_history", ".psql_history", ".python_history", "environ", "krb5.keytab", "ntds.dit", "sam", ".s3cfg", ".boto", "accesstokens.json", "application_default_credentials.json", "credentials.tfrc.json", ".terraformrc", "authinfo", ".authinfo", "private.key", "privkey.pem", "server.key", ".gem_credentials":
		return base != "shadow" && base != "sudoers" && base != "environ" && base != "sam" || matches(path.Dir(at), "/etc") || strings.HasPrefix(at, "/proc/") || strings.Contains(at, "/System32/config")
	case "credentials", "config":
		return dir == ".aws" || dir == ".kube" && base == "config" || dir == ".docker" || dir == ".cargo" && base == "credentials" || dir == ".gem" || dir == ".azure"
	case "credentials.toml":
		return dir == ".cargo"
	case "config.json":
		return dir == ".docker"
	case "hosts.yml":
		return dir == "gh"
	case "token":
		return strings.Contains(at, "secrets/kubernetes.io") || dir == "huggingface"
	}
	switch {
	case strings.HasPrefix(base, ".env."):
		return !slices.Contains([]string{"example", "sample", "template", "dist", "test.example", "defaults"}, base[5:])
	case strings.HasSuffix(base, ".pem") || strings.HasSuffix(base, ".p12") || strings.HasSuffix(base, ".pfx") || strings.HasSuffix(base, ".kdbx") || strings.HasSuffix(base, ".keystore") || strings.HasSuffix(base, ".jks") || strings.HasSuffix(base, ".ppk") || strings.HasSuffix(base, ".tfstate") || strings.HasSuffix(base, ".ovpn"):
		return true
	case strings.HasPrefix(at, "/run/secrets/") || strings.HasPrefix(at, "/var/run/secrets/"):
		return true
	case strings.HasPrefix(base, "id_") && !strings.HasSuffix(base, ".pub") && dir == ".ssh", strings.HasPrefix(base, "ssh_host_") && strings.HasSuffix(base, "_key"):
		return true
	}
	for _, d := range []string{"/.ssh", "/.gnupg", "/.aws", "/.password-store", "/.azure", "/.config/gcloud", "/.kube", "/.mozilla", "/Keychains", home + "/.config/gh", "/.config/op", "/.electrum", "/.ethereum", "/.bitcoin"} {
		if strings.HasSuffix(at, d) || strings.Contains(at, d+"/") && (strings.ContainsAny(base, star+mark) || d == "/.gnupg" || d == "/.password-store" || d == "/.config/gcloud" || d == "/Keychains" || d == "/.electrum" || d == "/.ethereum") {
			return true
		}
	}
	if strings.ContainsAny(base, star+mark+bracket) && len(base) < 32 { // a pattern that may match one
		for _, name := range []string{".env", "id_rsa", "id_ed25519", "shadow"} {
			if strings.Trim(base, star+mark+"."+bracket) != "" && matches(base, name) && (name != "shadow" || dir == "etc") {
				return true
			}
		}
	}
	return false
}

// secretVariable notes a variable whose value is a secret, by its name.
func (w *follower) secretVariable(name string) {
	upper := strings.ToUpper(name)
	for _, end := range []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "SECRET_KEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIALS", "ACCESS_KEY_ID", "PASSPHRASE", "_PAT", "AUTH_KEY", "DATABASE_URL", "CONNECTION_STRING", "PGPASSWORD", "MYSQL_PWD", "_DSN", "WEBHOOK_URL", "ENCRYPTION_KEY"} {
		if strings.HasSuffix(upper, end) {
			w.list(&w.out.Secrets, "$"+name)
			return
		}
	}
}

// leak notes that the commands of a pipeline or substitution hand the whole environment to
// a host: env | curl.
func (w *follower) leak(commands []Command) {
	dumps, sends := false, false
	for _, c := range commands {
		dumps = dumps || dumpsEnvironment(c.Name, c.Args)
		sends = sends || fetchers[c.Name]
	}
	if dumps && sends {
		w.list(&w.out.Secrets, "environment")
	}
}

func dumpsEnvironment(name string, args []string) bool {
	switch name {
	case "env", "printenv", "set", "export", "declare":
		return len(args) == 0 || len(args) == 1 && (args[0] == "-p" || args[0] == "-x" || args[0] == "-0")
	}
	return false
}

// talks notes the hosts of a command.
func (w *follower) talks(name string, a arguments, args []value, p place) {
	switch name {
	case "curl", "wget", "http", "https", "xh", "fetch", "aria2c", "axel", "lynx", "links", "w3m", "httpie", "ab", "wrk", "hey", "siege", "websocat", "wscat", "grpcurl", "youtube-dl", "yt-dlp":
		w.proxies(a)
		if name == "wget" && a.has("ri", "--recursive", "--mirror", "--input-file") {
			w.wroteTree(".")
		}
		ops := a.operands("-X", "--request", "-H", "--header", "-d", "--data", "--data-raw", "--data-binary", "--data-urlencode", "-o", "--output", "-u", "--user", "-A", "--user-agent", "-e", "--referer", "-b", "--cookie", "-c", "--cookie-jar", "-F", "--form", "-x", "--proxy", "-T", "--upload-file", "-m", "--max-time", "--connect-timeout", "--retry", "-w", "--write-out", "-O", "--output-document", "-P", "-K", "--config", "--cacert", "--cert", "--key", "-D", "--dump-header", "--resolve", "--post-data", "--post-file", "-t", "-T", "-U", "-Q", "-r", "--range", "-E", "--interface", "--limit-rate", "--retry-delay", "-i", "--input-file", "-a", "--directory-prefix", "-C")
		if name == "curl" || name == "http" || name == "https" || name == "xh" { // curl's -O takes no value
			ops = append(ops, a.operandsOnly("-O", "-i", "-a", "-P")...)
		}
		for _, x := range ops {
			switch {
			case strings.Contains(x.text, "://"):
				w.url(x.text)
			case (name == "http" || name == "https" || name == "xh") && (strings.ToUpper(x.text) == x.text || strings.ContainsAny(x.text, "=")):
			case x.text == anything || strings.HasPrefix(x.text, anything) || strings.HasPrefix(x.text, some):
				w.list(&w.out.Hosts, "")
			case x.known() && !strings.HasPrefix(x.text, "/") && strings.ContainsAny(x.text, ".:") || x.is("localhost"):
				w.url("http://" + x.text)
			}
		}
		w.uploads(name, a, ops)
	case "ssh", "mosh", "slogin", "rsh", "telnet", "ftp", "tftp", "lftp", "nc", "ncat", "netcat", "ping", "ping6", "traceroute", "tracepath", "mtr", "dig", "nslookup", "host", "whois", "nmap", "masscan", "rdesktop", "xfreerdp", "smbclient", "rustscan", "fping", "arping", "sftp":
		if name == "ssh" || name == "mosh" || name == "slogin" || name == "rsh" {
			return // remote notes it
		}
		for _, x := range a.operands("-p", "-w", "-i", "-s", "-X", "-x", "-P", "-e", "-c", "-q", "-t", "-T", "-W", "-I", "-m", "-o", "-l", "-u", "-b", "-F", "-S", "-J", "-A", "-U") {
			if isNumber(x.text) || strings.HasPrefix(x.text, "+") || strings.HasPrefix(x.text, "/") && (name == "nc" || name == "ncat") {
				continue
			}
			w.host(x)
			if name != "ping" && name != "nmap" && name != "fping" {
				break
			}
		}
	case "scp", "rsync", "rcp":
		for _, x := range a.operands("-i", "-P", "-l", "-o", "-c", "-F", "-S", "-J", "-e", "--rsh", "--exclude", "--include") {
			if strings.Contains(x.text, "://") {
				w.url(x.text)
			} else if h, _, ok := strings.Cut(x.text, ":"); ok && !strings.Contains(h, "/") && len(h) > 1 {
				w.host(value{h, x.taint})
			}
		}
	case "socat":
		for _, x := range a.all {
			f := strings.Split(x.text, ":")
			if u := strings.ToUpper(f[0]); len(f) > 2 && (strings.HasPrefix(u, "TCP") || strings.HasPrefix(u, "UDP") || strings.HasPrefix(u, "OPENSSL") || strings.HasPrefix(u, "SSL") || strings.HasPrefix(u, "SOCKS")) {
				w.host(exactly(f[1]))
			}
		}
	case "openssl":
		if h, ok := a.option("-connect"); ok {
			host, _, _ := strings.Cut(h.text, ":")
			w.host(value{host, h.taint})
		}
	case "psql", "mysql", "mariadb", "redis-cli", "mongosh", "mongo", "pg_dump", "mysqldump", "cqlsh", "valkey-cli", "createdb", "dropdb", "pg_restore", "pgcli":
		if h, ok := a.option("-h", "--host"); ok {
			w.host(h)
		}
		for _, x := range a.all {
			if strings.Contains(x.text, "://") {
				w.anyURL(x.text)
			}
		}
	case "git", "hg", "svn", "go", "pip", "pip3", "npm", "gh", "docker", "helm", "kubectl", "gem", "cargo", "apt-key", "add-apt-repository", "rpm", "dnf", "yum", "brew", "claude", "uv", "uvx", "pipx", "npx", "pnpm", "yarn", "bun", "deno":
		for _, x := range a.all {
			if _, rest, ok := strings.Cut(x.text, "="); ok && strings.Contains(rest, "://") {
				w.anyURL(rest)
			} else if strings.Contains(x.text, "://") {
				w.anyURL(x.text)
			}
		}
	}
	if name == "curl" && (a.flag("O", "XHdouAebcFxTmwKDrECtQP") || a.has("", "--remote-name", "--remote-name-all")) || name == "wget" && !a.has("O", "--output-document") || name == "aria2c" && !a.has("o", "--out") {
		dir, _ := a.option("-P", "--directory-prefix", "--output-dir", "-d")
		for _, x := range a.all { // more words than URLs: nothing else is called like a file that is run
			if _, file, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(x.text, "https://"), "http://"), "/"); ok && x.text[0] != '-' {
				file, _, _ = strings.Cut(file, "?")
				w.wrote(join(w.at(dir.text), path.Base(file)), value{anything, fetched | printed})
			}
		}
	}
}

// proxies notes whom curl and wget talk to in place of the host of the URL.
func (w *follower) proxies(a arguments) {
	if to, ok := a.option("-x", "--proxy", "--preproxy", "--socks5", "--socks5-hostname", "--socks4", "--socks4a"); ok {
		_, rest, scheme := strings.Cut(to.text, "://")
		if !scheme {
			rest = to.text
		}
		w.url("http://" + rest)
	}
	for _, option := range []string{"--connect-to", "--resolve"} {
		if to, ok := a.option(option); ok {
			if parts := strings.SplitN(to.text, ":", 4); len(parts) > 2 {
				w.host(value{strings.Trim(parts[2], "[]"), to.taint})
			}
		}
	}
}

// operandsOnly are the words right behind one of the options, which are operands all the same.
func (a arguments) operandsOnly(options ...string) (out []value) {
	for i, x := range a.all {
		if i > 0 && slices.Contains(options, a.all[i-1].text) && !strings.HasPrefix(x.text, "-") {
			out = append(out, x)
		}
	}
	return out
}

// uploads notes the files that curl and its like send: @file.
func (w *follower) uploads(name string, a arguments, ops []value) {
	for i, x := range a.all {
		t := x.text
		if i > 0 {
			switch a.all[i-1].text {
			case "-F", "--form", "-H", "--header", "--url-query", "-d", "--data", "--data-binary", "--data-ascii", "--data-urlencode", "--json":
				if _, f, ok := strings.Cut(t, "=<"); ok && (a.all[i-1].is("-F") || a.all[i-1].is("--form")) {
					f, _, _ = strings.Cut(f, ";")
					w.reads(value{f, x.taint})
				}
				if _, f, ok := strings.Cut(t, "@"); ok && (strings.HasPrefix(t, "@") || strings.Contains(t, "=@") || a.all[i-1].is("--data-urlencode")) {
					f, _, _ = strings.Cut(f, ";")
					w.reads(value{f, x.taint})
				}
			}
		}
		for _, o := range []string{"-d@", "--data=@", "--data-binary=@", "-F@", "--form=@", "--json=@"} {
			if f, ok := strings.CutPrefix(t, o); ok {
				w.reads(value{f, x.taint})
			}
		}
		if name == "http" || name == "https" || name == "xh" {
			if _, f, ok := strings.Cut(t, "@"); ok && !strings.Contains(t, "://") {
				w.reads(value{f, x.taint})
			}
		}
		if strings.HasPrefix(t, "file://") {
			w.reads(value{strings.TrimPrefix(t, "file://"), x.taint})
		}
	}
}

// host notes a host, as user@host too.
func (w *follower) host(x value) {
	name := x.text
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		name = name[i+1:]
	}
	if name == "" && x.text == "" {
		return
	}
	if (value{text: name}).known() {
		h := ParseHost(name)
		switch {
		case h.Name != "":
			name = h.Name
		case h.IP != "":
			name = h.IP
		}
		w.list(&w.out.Hosts, name)
		return
	}
	w.list(&w.out.Hosts, "")
}

// url notes the host of a URL of any scheme.
func (w *follower) url(s string) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "file" {
		return
	}
	end := strings.IndexAny(rest, "/?#\\")
	if end >= 0 {
		rest = rest[:end]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if strings.HasPrefix(rest, "[") {
		rest, _, _ = strings.Cut(rest[1:], "]")
	} else {
		rest, _, _ = strings.Cut(rest, ":")
	}
	w.host(exactly(rest))
}

func (w *follower) anyURL(s string) { w.url(s) }

// remoteURL notes the host of a repository: a URL, or user@host:path.
func (w *follower) remoteURL(x value) {
	if strings.Contains(x.text, "://") {
		w.url(x.text)
		return
	}
	if h, _, ok := strings.Cut(x.text, ":"); ok && strings.Contains(h, "@") && !strings.Contains(h, "/") {
		w.host(value{h, x.taint})
	}
}
