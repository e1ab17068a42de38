package cli

import (
	"bytes"
	"cmp"
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
	"regexp"
	"runtime"
	"slices"
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
	What    string `json:"what"` // server, policy, home, or a hook
	Host    string `json:"host,omitzero"`
	Version string `json:"version,omitzero"` // that the host's program says
	File    string `json:"file,omitzero"`
	State   string `json:"state"` // ok, warning or wrong
	Says    string `json:"says"`
	Record  string `json:"not_recorded,omitzero"` // why what came of it is not in the log
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
blocked; and whether the host would call the hook at all, as far as its settings tell. What it
finds of a hook is recorded in the log. It runs what this project's settings name as
helm-ai-kernel: run it where you would run the host. Exit code 0: all of them block; 1:
something does not, or none is set up; 3: there is no server.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.examine(cmd.Context(), cmd.Flags().Changed("server"), cmd.Flags().Changed("home"))
		}}
}

func (a *app) examine(ctx context.Context, server, home bool) error {
	set, err := findHooks()
	if err != nil {
		return err
	}
	// Hooks ask where their command lines say. What the doctor was told goes before that.
	var asked []*installed
	for i := range set {
		set[i].asks(a, server, home)
		if len(set[i].before()) > 0 {
			asked = append(asked, &set[i])
		}
	}
	if len(asked) == 0 {
		asked = []*installed{{app: a}}
	}
	var found []checked
	down := false
	seen := map[string]bool{}
	for _, s := range asked {
		name := s.where()
		if seen[name] {
			continue
		}
		seen[name] = true
		if s.kernel.embedded {
			found = append(found, checked{What: "server", State: checkOK, Says: "none is asked: the hook opens the log of " + s.app.home + " itself"})
		} else {
			checks, none := s.app.examineServer(ctx, hostsAt(asked, name))
			found, down = append(found, checks...), down || none
		}
		if !seen[s.app.home] {
			seen[s.app.home] = true
			found = append(found, examineHome(s.app.home)...)
		}
	}
	for i := range set {
		found = append(found, set[i].examine(ctx, set))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if len(set) == 0 {
		found = append(found, checked{What: "hook", State: checkWrong, Says: "none is set up, in this project or for this user: helm-ai-kernel setup --help"})
	}
	code := exitDone
	for _, f := range found {
		if f.State == checkWrong && code == exitDone {
			code = exitNo
		}
	}
	if down {
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
			more := []string{f.File, ""}
			if f.Record != "" {
				more[1] = "not recorded in the log: " + f.Record
			}
			for _, line := range more {
				if line != "" {
					rows = append(rows, []string{"", "", safeText(line)})
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

// where names the kernel that the hook asks.
func (s *installed) where() string {
	return fmt.Sprint(s.kernel.embedded, s.app.home, s.app.server)
}

// hostsAt are the hosts whose hooks ask one kernel.
func hostsAt(asked []*installed, where string) (all []*hosts.Host) {
	for _, s := range asked {
		if s.host != nil && s.where() == where && !slices.Contains(all, s.host) {
			all = append(all, s.host)
		}
	}
	return all
}

// lets reports whether a policy could let a call of a host pass: whether any tool that it does
// not always deny could be one of the host's.
func lets(tools []string, h *hosts.Host) bool {
	return slices.ContainsFunc(tools, func(pattern string) bool {
		head, _, star := strings.Cut(pattern, "*")
		return strings.HasPrefix(pattern, h.Name+".") || star && strings.HasPrefix(h.Name+".", head)
	})
}

// examineServer asks the server what is so, for the hosts whose hooks ask it. Without one
// nothing is allowed, and nothing done.
func (a *app) examineServer(ctx context.Context, of []*hosts.Host) (found []checked, down bool) {
	c, err := a.client(true)
	if err != nil {
		return []checked{{What: "server", State: checkWrong, Says: err.Error()}}, true
	}
	var st httpapi.BoundaryAnswer
	if err := c.ask(ctx, http.MethodGet, "/v1/boundary", nil, nil, &st); err != nil {
		if refused := (*problemError)(nil); errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
			// The server's home is another user's, as it should be where an agent runs as this one.
			return []checked{{What: "server", State: checkWarning, Says: fmt.Sprintf("%s answers, and whether its policy is enforced it tells an auditor alone: give a token with --token-file", c)}}, false
		}
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
		for _, h := range of {
			if st.Policy.Tools != nil && !lets(st.Policy.Tools, h) {
				policy.State = checkWarning
				policy.Says += fmt.Sprintf("; it denies each of %s's own tools, for only rules of DENY, or none, are about %s.NAME", h.Title, h.Name)
			}
		}
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

// An installed is a file of a host's in which hooks of ours stand, or which cannot be read.
type installed struct {
	host          *hosts.Host
	user, project string // the host's folder of the user, and the project
	file          string
	names         []string // the file's, with links and without
	hooks         []hosts.Hook
	err           error

	app    *app // that asks where the hook does
	kernel asking
	token  string // file, or ""
}

// findHooks finds them, in this project and for this user.
func findHooks() (found []installed, err error) {
	project, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(project); err == nil {
		project = real
	}
	for _, h := range hosts.All {
		user, err := userDir(h)
		if err != nil {
			return nil, err
		}
		folders := []string{filepath.Join(project, h.Dir)}
		if real, err := filepath.EvalSymlinks(user); err != nil || real != folders[0] {
			folders = append(folders, user)
		}
		for _, folder := range folders {
			for _, name := range h.Files() {
				s := installed{host: h, user: user, project: project, file: filepath.Join(folder, name)}
				content, err := readSettings(s.file)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				s.names = []string{s.file}
				if real, err := filepath.EvalSymlinks(folder); err == nil && real != folder {
					s.names = append(s.names, filepath.Join(real, name))
				}
				if err == nil {
					s.hooks, err = h.Hooks(s.file, content)
				}
				if err != nil {
					err = fmt.Errorf("it cannot be read: %w", err)
				}
				if why := h.Unread(content); err == nil && len(s.hooks) > 0 && filepath.Ext(name) == ".json" && why != "" {
					err = errors.New(why)
				}
				if s.err = err; err != nil || len(s.hooks) > 0 {
					found = append(found, s)
				}
			}
		}
	}
	return found, nil
}

// asks makes the app that asks where the hook does, but for what the doctor was told.
func (s *installed) asks(a *app, server, home bool) {
	own := *a
	s.app = &own
	before := s.before()
	if len(before) == 0 {
		return
	}
	options := optionsOf(before[0].Command)
	s.kernel = asking{embedded: options["embedded"] == "true"} // its policy is the hook's to make active
	s.kernel.home.store, s.kernel.home.highWater, s.kernel.home.passphraseFile = options["store"], options["high-water"], options["passphrase-file"]
	if options["home"] != "" && (!home || s.kernel.embedded) {
		own.home = options["home"]
	}
	if !server {
		own.server = options["server"]
	}
	s.token = options["token-file"]
}

// before are the hooks before calls.
func (s *installed) before() (out []hosts.Hook) {
	for _, k := range s.hooks {
		if k.Event == s.host.Before {
			out = append(out, k)
		}
	}
	return out
}

// optionsOf are the flags of a hook's command line.
func optionsOf(command string) map[string]string {
	options := map[string]string{}
	_, args, _ := hosts.Words(command)
	for i, arg := range args {
		name, flag := strings.CutPrefix(arg, "--")
		name, value, attached := strings.Cut(name, "=")
		switch {
		case !flag:
			continue
		case attached:
		case name == "embedded":
			value = "true"
		case i+1 < len(args):
			value = args[i+1]
		}
		options[name] = value
	}
	return options
}

// examine tries a hook, among all that are set up, and records what came of it.
func (s *installed) examine(ctx context.Context, all []installed) checked {
	f := checked{What: "hook", Host: s.host.Name, File: s.file, Version: hostVersion(ctx, s.host)}
	if s.err != nil {
		f.State, f.Says = checkWrong, fmt.Sprintf("no hook in it is called: %v", s.err)
	} else {
		f.State, f.Says = s.try(ctx, all)
	}
	if ctx.Err() != nil {
		return f
	}
	f.Says = fmt.Sprintf("%s, %s: %s", s.host.Title, f.Version, f.Says)
	if err := s.record(ctx, &f); err != nil {
		f.Record = err.Error()
	}
	return f
}

// try puts the canary through the hook before calls, and says what keeps the host from
// calling it, or from waiting for it.
func (s *installed) try(ctx context.Context, all []installed) (state, says string) {
	h, before := s.host, s.before()
	if len(before) == 0 {
		return checkWrong, "no hook stands before calls"
	}
	uncalled, warnings := h.Uncalled(hosts.Place{User: s.user, Project: s.project, Read: readSettings}, s.names, s.hooks)
	folder := s.project
	if h == hosts.Cursor && filepath.Dir(s.file) == s.user { // which runs the user's hooks there
		folder = s.user
	}
	missing := map[string]bool{}
	for _, e := range h.Events {
		missing[e.Name] = true
	}
	for _, k := range s.hooks {
		delete(missing, k.Event)
		if k.Matcher != "" && k.Matcher != "*" {
			warnings = append(warnings, fmt.Sprintf("%s is called for %q alone", k.Event, k.Matcher))
		}
	}
	for _, k := range before { // each of them: who trusts in one takes no notice of another
		limit := cmp.Or(k.Timeout, h.Default)
		if need := mostOf(k.Command); limit > 0 && limit < need {
			warnings = append(warnings, fmt.Sprintf("%s gives it %s, and it may take %s: then the call goes on undecided", h.Title, limit, need))
		}
		if h == hosts.Cursor && !k.FailClosed {
			warnings = append(warnings, "it is not failClosed: when it fails, the call goes on undecided")
		}
		warnings = append(warnings, otherVersion(ctx, k.Command, folder)...)
		blocked, why := runHook(ctx, h, k.Command, folder, s.project, cmp.Or(limit, time.Minute))
		if !blocked {
			return checkWrong, "it does NOT block: " + why
		}
		if says = "a call that must not be made was blocked: " + why; !decided.MatchString(why) {
			state, says = checkWarning, "it blocks every call, because it fails: "+why
		}
	}
	if uncalled != "" {
		return checkWrong, "it would block, and is NOT called as it must be: " + uncalled
	}
	for _, e := range h.Events {
		if missing[e.Name] {
			warnings = append(warnings, "it is not set up for "+e.Name)
		}
	}
	for _, other := range all {
		if other.host == h && other.file != s.file && len(other.before()) > 0 {
			warnings = append(warnings, "it is set up in "+other.file+" too: each call is put twice")
		}
	}
	if len(warnings) > 0 {
		return checkWarning, says + "; " + strings.Join(warnings, "; ")
	}
	return cmp.Or(state, checkOK), says
}

// decided is what a hook of ours says of a decision.
var decided = regexp.MustCompile(`^helm-ai-kernel: (DENY|ESCALATE) by `)

// mostOf is how long a hook may take, as its command line has it.
func mostOf(command string) time.Duration {
	options := optionsOf(command)
	if d, err := time.ParseDuration(options["timeout"]); err == nil && d > 0 {
		return d
	}
	if d, err := time.ParseDuration(options["wait"]); err == nil {
		return d + answerFor
	}
	return defaultWait + answerFor
}

// otherVersion says that a hook runs another version than this one.
func otherVersion(ctx context.Context, command, folder string) []string {
	program, _, _ := hosts.Words(command)
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	cmd := shell(ctx, hosts.CommandLine(program, "version"))
	cmd.Dir = folder
	out, err := cmd.Output()
	endGroup(cmd)
	if said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n"); err == nil && said != versionString() {
		return []string{fmt.Sprintf("it runs version %.40q, and this is %s", said, versionString())}
	}
	return nil // where it cannot be run, it does not block either
}

// runHook runs a hook as its host does, in a folder, and says what came of it.
func runHook(ctx context.Context, h *hosts.Host, command, folder, project string, limit time.Duration) (bool, string) {
	whole := ctx
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	var id [8]byte
	rand.Read(id[:])
	cmd := shell(ctx, command)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = folder, bytes.NewReader(h.Canary(hex.EncodeToString(id[:]), project)), &limited{b: &out}, &limited{b: &errs}
	cmd.WaitDelay = limit // hosts wait until what it started has closed its output too
	began := time.Now()
	err := cmd.Run()
	endGroup(cmd)
	said := lastLine(errs.String())
	if whole.Err() != nil {
		return false, whole.Err().Error()
	}
	if ctx.Err() != nil || time.Since(began) >= limit {
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

// shell runs a command line as hosts do, in a group of processes that endGroup ends.
func shell(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	if runtime.GOOS == "windows" {
		cmd = exec.CommandContext(ctx, "cmd", "/C", command)
	}
	ownGroup(cmd)
	cmd.Cancel = func() error { endGroup(cmd); return nil }
	cmd.WaitDelay = time.Second
	return cmd
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
		return fmt.Sprintf("version not known, for %s is not on the PATH", h.Program)
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

// record writes what came of a hook into the log, by the operator's token, or by the hook's
// own where the log is not this user's.
func (s *installed) record(ctx context.Context, f *checked) (err error) {
	c, end, err := s.app.reachOwn(ctx, &s.kernel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if c.token == "" && s.token != "" {
		if c.token, err = readToken(s.token); err != nil {
			return err
		}
	}
	return c.say(ctx, "hook."+f.Host, receipt.BoundaryCheck, f.State+": "+f.Says+" ("+f.File+")")
}
