package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/hosts"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// hostMargin is what a host's own timeout is above what the hook takes at most: a host goes
// on with the call when it is over.
const hostMargin = 20 * time.Second

// defaultWait is how long a hook waits for people where nobody says how long.
const defaultWait = 30 * time.Second

// A setup is what is set up.
type setup struct {
	host           *hosts.Host
	scope          string
	dryRun, remove bool
	wait           time.Duration
	agent          string
	kernel         asking
}

func (a *app) setupCmd() *cobra.Command {
	all := group("setup", "Put the kernel in front of an agent's host")
	for _, h := range hosts.All {
		s := setup{host: h}
		c := &cobra.Command{Use: h.Name, Short: "Name the hook in " + h.Title + "'s " + filepath.Join(h.Dir, h.File), Args: exactly(0),
			Long: `Name "hook ` + h.Name + `" in ` + h.Title + `'s ` + filepath.Join(h.Dir, h.File) + `, of this project or of your home. What stands there stays; done
twice it changes nothing; --remove takes out what it brought. It shows what it changes, and
with --dry-run changes nothing. --server, --token-file and --home, where they are given, are
given to the hook. A file that ` + h.Title + ` reads nothing of, or that this cannot read, is
refused.`,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.setUp(cmd, &s) }}
		f := c.Flags()
		f.StringVar(&s.scope, "scope", "project", "project: this folder; user: all that you do")
		f.BoolVar(&s.dryRun, "dry-run", false, "show what would change")
		f.BoolVar(&s.remove, "remove", false, "take the hook out")
		f.DurationVar(&s.wait, "wait", defaultWait, "how long the hook waits for people, at most 1m")
		f.StringVar(&s.agent, "agent", "", "the agent's name; default: "+h.Name)
		s.kernel.flags(c)
		all.AddCommand(c)
	}
	return all
}

func (a *app) setUp(cmd *cobra.Command, s *setup) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	if s.wait < 0 || s.wait > httpapi.MaxWait {
		return usagef("--wait is %s: it must be from 0 to %s", s.wait, httpapi.MaxWait)
	}
	if s.kernel.policy != "" && !s.kernel.embedded {
		return usagef("--policy belongs to --embedded: a server has its own")
	}
	path, err := resolve(filepath.Join(dir, s.host.File))
	if err != nil {
		return err
	}
	before, err := readSettings(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s's settings: %w", s.host.Title, err)
	}
	var after []byte
	if s.remove {
		after, err = s.host.Remove(before)
	} else {
		var command string
		if command, err = a.hookCommand(cmd, s); err == nil {
			after, err = s.host.Set(before, command, (s.wait + answerFor + hostMargin).Round(time.Second))
		}
	}
	if err != nil {
		return fmt.Errorf("%s is not changed: %w", path, err)
	}
	if bytes.Equal(before, after) {
		a.printf("%s: nothing to change\n", path)
		return nil
	}
	a.printf("%s", safeText(strings.ReplaceAll(string(diff.Diff(path, before, path, after)), "\t", "    ")))
	if s.dryRun {
		a.printf("%s: not changed, as --dry-run says\n", path)
		return nil
	}
	if err := replace(path, before, after); err != nil {
		return err
	}
	event, done := receipt.BoundaryStart, "the hook is set up"
	if s.remove {
		event, done = receipt.BoundaryStop, "the hook is taken out"
	}
	a.printf("%s: %s\n", path, done)
	if err := a.sayBoundary(cmd.Context(), s, event, path); err != nil {
		a.printf("not recorded in the log: %s\n", safeText(err.Error()))
	}
	if !s.remove {
		a.printf("It covers %s. More in docs/agents.md.\nTo the policy its tools are %s.NAME: one that names none of them denies every call.\nMind that %s.\nSee that it blocks: helm-ai-kernel doctor\n", covered(s.host), s.host.Name, s.host.Caveat)
	}
	return nil
}

// dir is the folder that the host's file is in.
func (s *setup) dir() (string, error) {
	switch s.scope {
	case "user":
		return userDir(s.host)
	case "project":
		project, err := os.Getwd()
		return filepath.Join(project, s.host.Dir), err
	}
	return "", usagef("--scope is %q: it must be user or project", s.scope)
}

// userDir is the folder of the host's settings for all that the user does, where the host
// looks for it.
func userDir(h *hosts.Host) (string, error) {
	for _, at := range [][2]string{{h.DirEnv, ""}, {h.HomeEnv, h.Dir}} {
		if dir := os.Getenv(at[0]); dir != "" {
			return filepath.Abs(filepath.Join(dir, at[1]))
		}
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, h.Dir), err
}

// covered says what a hook covers and what not.
func covered(h *hosts.Host) string {
	return fmt.Sprintf("the tool calls that %s tells its hooks of; not covered: %s", h.Title, h.Misses)
}

// maxSettings is more than any host's settings have.
const maxSettings = 4 << 20

// readSettings reads a host's file, and nothing that never ends: a project's can be a link to
// whatever its author liked.
func readSettings(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err == nil && len(content) > maxSettings {
		err = fmt.Errorf("%s has more than %d bytes: these are no settings", path, maxSettings)
	}
	return content, err
}

// resolve follows links: what is replaced is the file, and not a link to it.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil:
		return real, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("find the settings: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("%s is a link to nothing: remove it, or make what it leads to", path)
	}
	return path, nil
}

// hookCommand is the command line that the host is to run.
func (a *app) hookCommand(cmd *cobra.Command, s *setup) (string, error) {
	// By the name that it was started with, and not what that leads to: a package manager
	// puts another version behind it.
	program, err := exec.LookPath(os.Args[0])
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	args := []string{"hook", s.host.Name}
	// Relative paths are of this folder, and the hook runs in others.
	flag := func(name, value string, path bool) error {
		if value == "" || !cmd.Flags().Changed(name) {
			return nil
		}
		if socket, ok := strings.CutPrefix(value, unixScheme); ok {
			abs, err := filepath.Abs(socket)
			value = unixScheme + abs
			if err != nil {
				return err
			}
		} else if path {
			if value, err = filepath.Abs(value); err != nil {
				return err
			}
		}
		args = append(args, "--"+name, value)
		return nil
	}
	err = errors.Join(flag("home", a.home, true), flag("server", a.server, false), flag("token-file", a.token, true), flag("agent", s.agent, false),
		flag("policy", s.kernel.policy, true), flag("high-water", s.kernel.home.highWater, true), flag("passphrase-file", s.kernel.home.passphraseFile, true))
	if db, ok := strings.CutPrefix(s.kernel.home.store, "sqlite:"); ok && err == nil {
		db, err = filepath.Abs(db)
		args = append(args, "--store", "sqlite:"+db)
	}
	if s.kernel.embedded {
		args = append(args, "--embedded")
	}
	if cmd.Flags().Changed("wait") {
		args = append(args, "--wait", s.wait.String())
	}
	line := hosts.CommandLine(program, args...)
	if err == nil && !s.host.Ours(line) {
		err = fmt.Errorf("the hook %s could not be told from others' and never be taken out: let this program be called helm-ai-kernel", line)
	}
	return line, err
}

// replace writes the file, or removes it where after is nil, unless somebody else has changed
// it meanwhile. It keeps its mode. What is to be written stands beside it under a name that a
// second run finds taken, so that of two at once one is refused, and none undone.
func replace(path string, before, after []byte) (err error) {
	fail := func(err error) error { return fmt.Errorf("write the settings: %w", err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail(err)
	}
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".helm-ai-kernel")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is not changed: another setup is about to. Do it again; if none runs, remove %s", path, next)
	}
	if err != nil {
		return fail(err)
	}
	renamed := false
	defer func() {
		if !renamed {
			f.Close()
			os.Remove(next)
		}
	}()
	now, err := readSettings(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || !bytes.Equal(now, before) {
		return fmt.Errorf("%s has been changed meanwhile: do it again", path)
	}
	if after == nil {
		return os.Remove(path)
	}
	if st, serr := os.Stat(path); serr == nil {
		err = f.Chmod(st.Mode().Perm())
	} else {
		err = nil
	}
	if err == nil {
		_, err = f.Write(after)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fail(err)
	}
	err = ledger.Rename(next, path)
	var still *os.LinkError
	if renamed = !errors.As(err, &still); err != nil { // from then on the name is another run's
		return fail(err)
	}
	return nil
}

// sayBoundary records that a hook stands at a boundary now, or does not any more.
func (a *app) sayBoundary(ctx context.Context, s *setup, event, path string) (err error) {
	c, end, err := a.reachOwn(ctx, &s.kernel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return c.say(ctx, "hook."+s.host.Name, event, fmt.Sprintf("%s, as %s says", covered(s.host), path))
}

// reachOwn is reach with the operator's token, where this home's own server is asked.
func (a *app) reachOwn(ctx context.Context, k *asking) (*client, func() error, error) {
	if k.embedded {
		return a.reach(ctx, k)
	}
	c, err := a.client(true)
	return c, func() error { return nil }, err
}

// say records what is so of a boundary.
func (c *client) say(ctx context.Context, boundary, event, covers string) error {
	if len(covers) > receipt.MaxReasonBytes {
		covers = strings.ToValidUTF8(covers[:receipt.MaxReasonBytes-3], "") + "..."
	}
	var e httpapi.EntryAnswer
	return c.ask(ctx, http.MethodPost, "/v1/boundary/events", nil, httpapi.EventRequest{Boundary: boundary, Event: event, Covers: covers}, &e)
}
