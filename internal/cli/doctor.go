package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/hosts"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A checked is what the doctor found of one thing.
type checked struct {
	What   string `json:"what"` // server, policy, home, or a hook
	Host   string `json:"host,omitzero"`
	File   string `json:"file,omitzero"`
	State  string `json:"state"` // ok, warning or wrong
	Says   string `json:"says"`
	Beside string `json:"beside,omitzero"`   // what of the host must be so too, and was not seen
	Record string `json:"recorded,omitzero"` // why what came of it is not in the log
}

// The states of what was checked.
const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkWrong   = "wrong"
)

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Try whether what is set up really blocks", Args: exactly(0),
		Long: `Puts a call that no policy has a reason to allow through the command line of every hook that
is set up, in this project and for this user, as its host would, and says whether it was
blocked. What it finds of a hook is recorded in the log. Exit code 0: all of them block; 1:
something does not, or none is set up; 3: there is no server.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.examine(cmd.Context()) }}
}

func (a *app) examine(ctx context.Context) error {
	found, down := a.examineServer(ctx)
	found = append(found, examineHome(a.home)...)
	hooks, embedded, err := a.examineHooks(ctx)
	if err != nil {
		return err
	}
	if found = append(found, hooks...); len(hooks) == 0 {
		found = append(found, checked{What: "hook", State: checkWrong, Says: "none is set up, in this project or for this user: helm-ai-kernel setup --help"})
	}
	code := exitDone
	for _, f := range found {
		if f.State == checkWrong && code == exitDone {
			code = exitNo
		}
	}
	if down && !embedded {
		code = exitNoServer
	}
	if a.json {
		if err := a.printJSON(map[string]any{"checks": found}); err != nil {
			return err
		}
	} else {
		rows := [][]string{}
		colours := map[string]string{checkOK: green, checkWarning: yellow, checkWrong: red}
		for _, f := range found {
			name := f.What
			if f.Host != "" {
				name = f.Host
			}
			rows = append(rows, []string{a.paint(colours[f.State], f.State), name, safeText(f.Says)})
			for _, more := range []string{f.File, f.Beside, f.Record} {
				if more != "" {
					rows = append(rows, []string{"", "", safeText(more)})
				}
			}
		}
		a.table(rows)
	}
	if code != exitDone {
		return &exitError{code, nil}
	}
	return nil
}

// examineServer asks the server what is so. Without one nothing is allowed, and nothing done.
func (a *app) examineServer(ctx context.Context) (found []checked, down bool) {
	c, err := a.client(true)
	if err != nil {
		return []checked{{What: "server", State: checkWrong, Says: err.Error()}}, true
	}
	var st httpapi.BoundaryAnswer
	if err := c.ask(ctx, http.MethodGet, "/v1/boundary", nil, nil, &st); err != nil {
		var e *exitError
		down = errors.As(err, &e) && e.code == exitNoServer
		return []checked{{What: "server", State: checkWrong, Says: err.Error()}}, down
	}
	server := checked{What: "server", State: checkOK, Says: fmt.Sprintf("%s is %s", c, st.State)}
	if st.State != "up" {
		server.State = checkWarning
	}
	policy := checked{What: "policy", State: checkOK, Says: "none is active: nothing is decided"}
	switch {
	case st.Policy == nil:
		policy.State = checkWrong
	case st.Mode != helm.Enforce:
		policy.State, policy.Says = checkWrong, fmt.Sprintf("%s version %d is in %s mode: nothing is blocked", st.Policy.ID, st.Policy.Version, st.Mode)
	default:
		policy.Says = fmt.Sprintf("%s version %d is enforced", st.Policy.ID, st.Policy.Version)
	}
	if st.Process.PolicyError != "" {
		policy.State, policy.Says = checkWrong, policy.Says+", and the file was not taken: "+st.Process.PolicyError
	}
	return []checked{server, policy}, false
}

// examineHome looks at who may read what the log's key and tokens are in. That there is none
// is no fault: the server can be another user's.
func examineHome(dir string) (found []checked) {
	if runtime.GOOS == "windows" { // which has no such bits
		return nil
	}
	h := &home{dir: dir}
	for _, path := range []string{h.dir, h.key(), h.operatorToken()} {
		st, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			found = append(found, checked{What: "home", File: path, State: checkWarning, Says: err.Error()})
			continue
		}
		most := fs.FileMode(0o077)
		if st.IsDir() {
			most = 0o022
		}
		if st.Mode().Perm()&most != 0 {
			found = append(found, checked{What: "home", File: path, State: checkWrong, Says: fmt.Sprintf("others can get at it (mode %04o)", st.Mode().Perm())})
		} else if path == h.key() {
			found = append(found, checked{What: "home", File: path, State: checkWarning,
				Says: "this user can read the log's key, and so can an agent that runs as this user: run serve as another user"})
		}
	}
	return found
}

// examineHooks tries every hook that is set up.
func (a *app) examineHooks(ctx context.Context) (found []checked, embedded bool, err error) {
	project, err := os.Getwd()
	if err != nil {
		return nil, false, err
	}
	for _, h := range hosts.All {
		dirs := []string{filepath.Join(project, h.Dir)}
		if user, err := userDir(h); err == nil && user != dirs[0] {
			dirs = append(dirs, user)
		}
		for _, dir := range dirs {
			path := filepath.Join(dir, h.File)
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			var hooks []hosts.Hook
			if err == nil {
				hooks, err = h.Installed(content)
			}
			if err != nil {
				found = append(found, checked{What: "hook", Host: h.Name, File: path, State: checkWrong, Says: "it cannot be read: " + err.Error()})
				continue
			}
			if len(hooks) == 0 {
				continue
			}
			one := a.examineHook(ctx, h, hooks, project)
			one.What, one.Host, one.File, one.Beside = "hook", h.Name, path, h.Caveat
			if why := notCalled(h, content, hooks, dirs); why != "" {
				one.State, one.Says = checkWrong, fmt.Sprintf("%s does NOT call it as it must: %s", h.Title, why)
			}
			k, home := askingOf(hooks[0].Command)
			embedded = embedded || k.embedded
			if err := a.recordCheck(ctx, &k, home, &one); err != nil {
				one.Record = "not recorded in the log: " + err.Error()
			}
			found = append(found, one)
		}
	}
	return found, embedded, nil
}

// notCalled is why the host does not call a hook that stands in its file, for every call and
// before it, or "". What it keeps elsewhere, such as which hooks it trusts, is not known.
func notCalled(h *hosts.Host, content []byte, hooks []hosts.Hook, dirs []string) string {
	if !h.Reads(content) {
		return "the file has comments or commas that JSON has not"
	}
	for _, k := range hooks {
		if k.Event == h.Before && k.Beside != "" {
			return fmt.Sprintf("the hook of %s has %s, and setup writes no such thing", k.Event, k.Beside)
		}
		for _, dir := range dirs {
			for _, name := range h.Switches {
				path := filepath.Join(dir, name)
				content, err := os.ReadFile(path)
				if err != nil {
					continue
				}
				if why := h.Off(content, k.Command); why != "" {
					return why + " in " + path
				}
			}
		}
	}
	return ""
}

// askingOf is how a hook's command line asks, and the home that it names, or "". Its policy is
// the hook's to make active: the doctor changes none.
func askingOf(command string) (k asking, home string) {
	_, args, _ := hosts.Words(command)
	for i, arg := range args {
		name, value, attached := strings.Cut(arg, "=")
		if !attached && i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "--embedded":
			k.embedded = !attached || value == "true"
		case "--home":
			home = value
		case "--store":
			k.home.store = value
		case "--high-water":
			k.home.highWater = value
		case "--passphrase-file":
			k.home.passphraseFile = value
		}
	}
	return k, home
}

// examineHook puts the canary through the hook before calls.
func (a *app) examineHook(ctx context.Context, h *hosts.Host, hooks []hosts.Hook, project string) checked {
	missing := map[string]bool{}
	for _, e := range h.Events {
		missing[e.Name] = true
	}
	var before []*hosts.Hook
	var warnings []string
	for i := range hooks {
		k := &hooks[i]
		delete(missing, k.Event)
		if k.Matcher != "" && k.Matcher != "*" {
			warnings = append(warnings, fmt.Sprintf("%s is called for %q alone", k.Event, k.Matcher))
		}
		if need := waitOf(k.Command) + answerFor; k.Timeout > 0 && k.Timeout < need && k.Event == h.Before {
			warnings = append(warnings, fmt.Sprintf("%s gives it %s, and it may take %s: then the call goes on undecided", h.Title, k.Timeout, need))
		}
		if k.Event == h.Before {
			before = append(before, k)
			if h == hosts.Cursor && !k.FailClosed {
				warnings = append(warnings, "it is not failClosed: when it fails, the call goes on undecided")
			}
		}
	}
	for _, e := range h.Events {
		if missing[e.Name] {
			warnings = append(warnings, "it is not set up for "+e.Name)
		}
	}
	version := hostVersion(ctx, h)
	if len(before) == 0 {
		return checked{State: checkWrong, Says: fmt.Sprintf("%s, %s: no hook stands before calls", h.Title, version)}
	}
	var why string
	for _, k := range before {
		limit := k.Timeout
		if limit == 0 {
			limit = time.Minute
		}
		var blocked bool
		if blocked, why = runHook(ctx, h, k.Command, project, limit); !blocked {
			return checked{State: checkWrong, Says: fmt.Sprintf("%s, %s: it does NOT block: %s", h.Title, version, why)}
		}
	}
	says := checked{State: checkOK, Says: fmt.Sprintf("%s, %s: a call that must not be made was blocked: %s", h.Title, version, why)}
	if len(warnings) > 0 {
		says.State, says.Says = checkWarning, says.Says+"; "+strings.Join(warnings, "; ")
	}
	return says
}

// waitOf is how long a hook's command line waits for people.
func waitOf(command string) time.Duration {
	_, args, _ := hosts.Words(command)
	for i, arg := range args {
		value, attached := strings.CutPrefix(arg, "--wait=")
		if arg == "--wait" && i+1 < len(args) {
			value, attached = args[i+1], true
		}
		if d, err := time.ParseDuration(value); attached && err == nil {
			return d
		}
	}
	return defaultWait
}

// runHook runs a hook as its host does, and says what came of it.
func runHook(ctx context.Context, h *hosts.Host, command, project string, limit time.Duration) (bool, string) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	var id [8]byte
	rand.Read(id[:])
	cmd := shell(ctx, command)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = project, bytes.NewReader(h.Canary(hex.EncodeToString(id[:]), project)), &limited{b: &out}, &limited{b: &errs}
	cmd.WaitDelay = time.Second // what it started may hold its output open
	err := cmd.Run()
	said := lastLine(errs.String())
	if ctx.Err() != nil {
		return false, fmt.Sprintf("it did not answer within %s", limit)
	}
	exit := 0
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		if exit = ended.ExitCode(); exit < 0 {
			return false, fmt.Sprintf("it was ended: %s", err)
		}
	} else if err != nil {
		return false, err.Error()
	}
	blocked, why := h.Blocked(exit, out.String(), errs.String())
	if !blocked {
		switch {
		case said != "":
			why += ": " + said
		case exit == 0:
			why += ". Where the hook is ours, the policy allows " + h.Name + "." + hosts.CanaryTool
		}
		return false, why
	}
	return true, said
}

// shell runs a command line as hosts do.
func shell(ctx context.Context, command string) *exec.Cmd {
	if runtime.GOOS == "windows" {
		return exec.CommandContext(ctx, "cmd", "/C", command)
	}
	return exec.CommandContext(ctx, "sh", "-c", command)
}

// limited keeps the first 64 KiB of what is written to it.
type limited struct{ b *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := 64<<10 - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// hostVersion is what the host's own program says of itself.
func hostVersion(ctx context.Context, h *hosts.Host) string {
	path, err := exec.LookPath(h.Program)
	if err != nil {
		return h.Program + " is not on the PATH"
	}
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return fmt.Sprintf("%s --version failed: %v", h.Program, err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}

// recordCheck writes what came of a hook into the log.
func (a *app) recordCheck(ctx context.Context, k *asking, home string, f *checked) (err error) {
	of := *a
	if k.embedded && home != "" {
		of.home = home
	}
	c, end, err := of.reachOwn(ctx, k)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return c.say(ctx, "hook."+f.Host, receipt.BoundaryCheck, f.State+": "+f.Says+" ("+f.File+")")
}
