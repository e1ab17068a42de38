// Package cli is the command line of helm-ai-kernel, and the only place that wires
// the other packages together. testdata/*.txtar drive the real binary.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes of every command but verify, which has its own (spec/verify.md).
const (
	exitDone     = 0
	exitNo       = 1 // the answer is no
	exitUsage    = 2
	exitNoServer = 3
)

// An exitError ends the program with a code. One without a message says nothing
// more: the command has printed its answer.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is what every command has.
type app struct {
	in       io.Reader
	out, err io.Writer

	home   string // HELM_HOME
	server string
	token  string // path of a file with a token
	json   bool

	given []string // --home and --server with their values, where the command line has them
}

// version is set by the build.
var version = ""

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Main runs a command line and returns the exit code.
func Main(args []string, in io.Reader, out, errw io.Writer) int {
	a := &app{in: in, out: out, err: errw}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if host := cmd.Annotations[blocksFor]; host != "" {
		return a.block(host, err.Error())
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{exitNo, err}
	}
	if msg := e.Error(); msg != "" {
		fmt.Fprintf(errw, "helm-ai-kernel: %s\n", safeText(msg))
	}
	return e.code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "helm-ai-kernel",
		Short: "Decide what an AI agent may do, and prove it afterwards",
		Long: `helm-ai-kernel answers ALLOW, DENY or ESCALATE to every tool call of an AI agent
under a policy file, writes a signed receipt into a tamper-evident log before it
answers, and bundles receipts into EvidencePacks that verify offline.

Every flag that is not on the command line is taken from a HELM_ environment variable:
--listen from HELM_LISTEN. Only verify's own flags are not: what a verifier was asked
stands on its command line.

Exit codes: 0 done, 1 the answer is no, 2 wrong usage, 3 no server.
verify: 0 proved, 1 the evidence is wrong, 2 unreadable or wrong usage, 3 not all proved.`,
		SilenceUsage: true, SilenceErrors: true,
		Args:              unknown,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.environment(cmd) },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.StringVar(&a.home, "home", defaultHome(), "where keys, log and tokens are kept")
	f.StringVar(&a.server, "server", "", "the server to ask; default: this home's own, else http://"+defaultListen)
	f.StringVar(&a.token, "token-file", "", "file with the token to send; default: the operator's, to this home's own server only")
	f.BoolVar(&a.json, "json", false, "print JSON")
	root.AddCommand(a.serveCmd(), a.hookCmd(), a.mcpCmd(), a.demoCmd(), a.decideCmd(), a.boundaryCmd(), a.receiptsCmd(), a.approvalsCmd(), a.policyCmd(),
		a.evidenceCmd(), a.verifyCmd(), a.replayCmd(), a.logCmd(), a.sessionsCmd(), a.tokensCmd(), a.keysCmd(), a.setupCmd(), a.doctorCmd(), a.versionCmd())
	return root
}

// unknown refuses a name that is none of the commands below.
func unknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("there is no command %q%s: see %s --help", args[0], didYouMean(cmd, args[0]), cmd.CommandPath())
}

// flagError says what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var none *pflag.NotExistError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &none) && none.GetSpecifiedShortnames() == "":
		flags := new(cobra.Command) // cobra finds what is near among commands only
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			flags.AddCommand(&cobra.Command{Use: "--" + f.Name, Run: func(*cobra.Command, []string) {}})
		})
		name := "--" + none.GetSpecifiedName()
		return usagef("there is no flag %s%s: see %s --help", name, didYouMean(flags, name), cmd.CommandPath())
	case errors.As(err, &bad):
		return usagef("--%s is %q: %s", bad.GetFlag().Name, bad.GetValue(), wanted(bad.GetFlag()))
	}
	return usagef("%w: see %s --help", err, cmd.CommandPath())
}

// wanted says what a flag's value must be.
func wanted(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "it must be true or false"
	case "duration":
		return "it must be a duration, such as 90s or 24h"
	case "int", "uint64", "float64":
		return "it must be a number"
	}
	return "it must be a " + f.Value.Type()
}

// didYouMean asks for the nearest of the commands, or says nothing where none is near.
func didYouMean(among *cobra.Command, name string) string {
	among.SuggestionsMinimumDistance = 2
	near := among.SuggestionsFor(name)
	if len(near) == 0 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
}

// group is a command that only has commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: unknown,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Help()
			return &exitError{exitUsage, nil}
		}}
	c.AddCommand(below...)
	return c
}

// exactly wants that many arguments, 0 or 1, and calls a miss wrong usage.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s, there are %d: %s", cmd.Name(), []string{"no argument", "one argument"}[n], len(args), cmd.UseLine())
		}
		return nil
	}
}

// environment sets the flags that the command line left out from HELM_* variables.
func (a *app) environment(cmd *cobra.Command) (err error) {
	for _, name := range []string{"home", "server"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			a.given = append(a.given, "--"+name, f.Value.String())
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "HELM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok && !f.Changed && err == nil {
			if serr := cmd.Flags().Set(f.Name, v); serr != nil {
				err = usagef("%s is %q: %s", name, v, wanted(f))
			}
		}
	})
	return err
}

func defaultHome() string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return ".helm-ai-kernel"
	}
	return filepath.Join(dir, ".helm-ai-kernel")
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: exactly(0), RunE: func(*cobra.Command, []string) error {
		if a.json {
			return a.printJSON(map[string]string{"version": versionString()})
		}
		fmt.Fprintln(a.out, versionString())
		return nil
	}}
}
