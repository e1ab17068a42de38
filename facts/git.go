package facts

import (
	"slices"
	"strings"
)

// subcommand splits git's words into the options before the subcommand, the subcommand
// and what stands behind it.
func subcommand(a arguments) (before []value, sub string, after arguments) {
	for i := 0; i < len(a.all); i++ {
		switch t := a.all[i].text; {
		case t == "-C" || t == "-c" || t == "--git-dir" || t == "--work-tree" || t == "--namespace" || t == "--exec-path" || t == "--config-env" || t == "-R" || t == "--cwd":
			i++
		case strings.HasPrefix(t, "-"):
		default:
			return a.all[:i], t, arguments{a.all[i+1:]}
		}
	}
	return a.all, "", arguments{}
}

// runsByConfig are the keys of git's configuration whose value is a command.
var runsByConfig = []string{"core.pager", "core.sshcommand", "core.editor", "core.fsmonitor", "core.askpass", "diff.external", "sequence.editor", "credential.helper", "gpg.program", "uploadpack.packobjectshook", "init.templatedir", "core.gitproxy", "core.hookspath", "include.path", "interactive.difffilter", "sendemail.smtpserver"}

func gitRuns(key string) bool {
	key = strings.ToLower(key)
	return slices.Contains(runsByConfig, key) || strings.HasPrefix(key, "alias.") || strings.HasPrefix(key, "pager.") ||
		strings.HasPrefix(key, "filter.") || strings.HasSuffix(key, ".textconv") || strings.HasSuffix(key, ".cmd") || strings.HasSuffix(key, ".driver") || strings.HasSuffix(key, ".command") ||
		strings.HasPrefix(key, "credential.") && strings.HasSuffix(key, ".helper") || strings.HasPrefix(key, "gpg.") && strings.HasSuffix(key, ".program") ||
		strings.HasPrefix(key, "remote.") && strings.HasSuffix(key, "pack") || strings.HasPrefix(key, "includeif.")
}

// git follows what git is given to run: aliases, pagers, hooks and the commands of bisect,
// rebase, submodule and filter-branch.
func (w *follower) git(a arguments, in place) {
	before, sub, after := subcommand(a)
	for i, x := range before {
		pair := ""
		if x.is("-c") && i+1 < len(before) {
			pair = before[i+1].text
		} else if rest, ok := strings.CutPrefix(x.text, "-c"); ok && rest != "" {
			pair = rest
		}
		if x.is("-C") && i+1 < len(before) {
			defer func(dirs []string) { w.dirs = dirs }(w.dirs)
			w.dirs = []string{join(w.dirs[0], before[i+1].text)}
		}
		if strings.HasPrefix(x.text, "--exec-path=") || strings.HasPrefix(x.text, "--config-env") {
			w.unknown("git takes its programs from elsewhere")
		}
		if key, code, ok := strings.Cut(pair, "="); ok && gitRuns(key) {
			w.gitCode(key, code, after, in)
		}
	}
	if slices.ContainsFunc(after.all, func(v value) bool { return strings.HasPrefix(v.text, "--template=") }) && (sub == "init" || sub == "clone") {
		w.unknown("git runs the hooks of a directory that is not looked into")
	}
	switch sub {
	case "config":
		ops := after.operands("-f", "--file", "--type", "--blob")
		if len(ops) > 0 && (ops[0].is("set") || ops[0].is("add")) {
			ops = ops[1:]
		}
		if len(ops) > 1 && gitRuns(ops[0].text) {
			w.persists("git config " + ops[0].shown())
			if !strings.EqualFold(ops[0].text, "core.hookspath") && !strings.HasPrefix(ops[0].text, "credential") && !strings.HasPrefix(ops[0].text, "include") {
				w.gitCode(ops[0].text, ops[1].text, arguments{}, in)
			}
		}
	case "bisect":
		if len(after.all) > 1 && after.all[0].is("run") {
			w.run(after.all[1:], in)
		}
	case "rebase":
		if code, ok := after.option("-x", "--exec"); ok {
			w.nested(code, in)
		}
	case "submodule":
		if i := after.index("foreach"); i >= 0 {
			if code := (arguments{after.all[i+1:]}).from(); len(code) > 0 {
				w.nested(joined(code), in)
			}
		}
	case "filter-branch":
		for _, o := range []string{"--tree-filter", "--index-filter", "--env-filter", "--msg-filter", "--commit-filter", "--tag-name-filter", "--parent-filter", "--setup"} {
			if code, ok := after.option(o); ok {
				dirs := w.dirs
				w.dirs = []string{some}
				w.nested(code, in)
				w.dirs = dirs
			}
		}
	case "difftool", "mergetool":
		if code, ok := after.option("-x", "--extcmd"); ok {
			w.nested(code, in)
		}
	case "grep":
		if code, ok := after.option("-O", "--open-files-in-pager"); ok {
			w.suspectCode(code, in)
		}
	case "clone", "fetch", "pull", "push", "ls-remote", "remote", "archive", "submodule-add":
		options := []string{"--upload-pack", "--receive-pack", "--exec", "-u"}
		if sub == "push" { // whose -u is another
			options = options[:3]
		}
		if code, ok := after.option(options...); ok {
			w.nested(code, in)
		}
		for _, x := range after.all {
			if _, code, ok := strings.Cut(x.text, "ext::"); ok {
				w.nested(value{code, x.taint}, in)
			}
			w.remoteURL(x)
			if key, code, ok := strings.Cut(x.text, "="); ok && gitRuns(key) && sub == "clone" {
				w.gitCode(key, code, arguments{}, in)
			}
		}
	}
}

// gitCode follows the value of a key that is a command. An alias without ! is git's own words.
func (w *follower) gitCode(key, code string, after arguments, in place) {
	key = strings.ToLower(key)
	if code == "" || code == "cat" || code == "true" || code == "false" {
		return
	}
	if strings.HasPrefix(key, "alias.") {
		if shell, ok := strings.CutPrefix(code, "!"); ok {
			w.nested(joined(append([]value{exactly(shell)}, after.all...)), in)
			return
		}
		w.nested(joined(append([]value{exactly("git " + code)}, after.all...)), in)
		return
	}
	switch {
	case key == "core.hookspath" || key == "init.templatedir":
		w.unknown("git runs the hooks of a directory that is not looked into")
		return
	case strings.HasPrefix(key, "include"):
		w.unknown("git reads its configuration from a file that is not looked into")
		return
	}
	w.nested(exactly(strings.TrimPrefix(code, "!")), in)
}

func (w *follower) judgeGit(name string, a arguments, args []value) {
	before, sub, after := subcommand(a)
	for i, x := range before {
		if x.is("-C") && i+1 < len(before) {
			defer func(dirs []string) { w.dirs = dirs }(w.dirs)
			w.dirs = []string{join(w.dirs[0], before[i+1].text)}
		}
	}
	ops := after.operands("-m", "--message", "-b", "-B", "-c", "-C", "--orphan", "-s", "--source", "-o", "--push-option", "--conflict", "-U", "--unified", "--inter-hunk-context")
	bad := false
	switch sub {
	case "reset":
		bad = after.has("", "--hard", "--merge", "--keep")
	case "checkout":
		dash := after.index("--")
		switch {
		case after.flag("f", "bB"), after.has("", "--force", "--pathspec-from-file"):
			bad = true
		case dash >= 0 && dash+1 < len(after.all):
			bad = true
		case after.flag("bBt", ""), after.has("", "--orphan", "--track"):
		default:
			for i, x := range ops {
				bad = bad || x.is(".") || x.is("*") || x.text == star || strings.HasPrefix(x.text, "./") || strings.HasPrefix(x.text, ":/") || strings.ContainsAny(x.text, "*"+star) || i > 0
			}
		}
	case "switch":
		bad = after.flag("f", "cC") || after.has("", "--force", "--discard-changes")
	case "restore":
		bad = len(ops) > 0 && (!after.has("S", "--staged") || after.has("W", "--worktree"))
	case "clean":
		bad = after.has("f", "--force") && !after.has("n", "--dry-run")
	case "push":
		bad = after.has("fd", "--mirror", "--delete", "--prune") || after.index("--force") >= 0 || after.index("-f") >= 0
		for i, x := range ops {
			bad = bad || i > 0 && (strings.HasPrefix(x.text, "+") || strings.HasPrefix(x.text, ":") && len(x.text) > 1)
		}
		if after.has("n", "--dry-run") {
			bad = false
		}
	case "branch":
		bad = after.has("DMC") || after.has("f", "--force") && len(ops) > 0
	case "tag":
		bad = after.has("d", "--delete") && len(ops) > 0
	case "stash":
		bad = len(ops) > 0 && (ops[0].is("drop") || ops[0].is("clear"))
	case "reflog":
		bad = len(ops) > 0 && (ops[0].is("expire") || ops[0].is("delete"))
	case "gc":
		bad = slices.ContainsFunc(after.all, func(v value) bool { return v.is("--prune=now") || v.is("--prune=all") })
	case "prune", "filter-branch", "filter-repo", "replace":
		bad = !after.has("n", "--dry-run")
	case "update-ref":
		bad = after.has("d")
	case "worktree":
		bad = len(ops) > 0 && ops[0].is("remove") && after.has("f", "--force")
	case "submodule":
		bad = len(ops) > 0 && ops[0].is("deinit") && after.has("f", "--force")
	case "rm":
		bad = after.has("f", "--force") && !after.has("", "--cached") && after.has("r")
	case "remote":
		bad = len(ops) > 0 && (ops[0].is("remove") || ops[0].is("rm"))
	case "read-tree":
		bad = after.has("", "--reset") || after.index("-u") >= 0
	case "checkout-index":
		bad = after.has("f", "--force") && after.has("a", "--all")
	case "lfs":
		bad = len(ops) > 0 && ops[0].is("prune")
	case "strip", "purge", "rollback":
		bad = name == "hg"
	case "update", "revert":
		bad = name == "hg" && (after.has("C", "--clean") || after.has("", "--all"))
	case "abandon":
		bad = name == "jj"
	}
	if bad {
		w.destroys("git", args)
	}
}
