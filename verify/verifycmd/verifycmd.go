// Package verifycmd is the command line of the verifier, shared by helm-verify and
// "helm-ai-kernel verify", so that both give the same answer.
package verifycmd

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// A Command is how the verifier was called.
type Command struct {
	Name    string // such as "helm-verify", for messages
	Version string
	Args    []string

	// Flags, where set, adds the caller's own flags, and Help are the lines that
	// --help prints about them. A flag named json is then the caller's.
	Flags func(*flag.FlagSet)
	Help  string

	// DefaultTrust, where set, is asked after the flags were read for a trust file that
	// is used, if it is there, where --trust is not given.
	DefaultTrust func() string

	Stdout, Stderr io.Writer
}

const usage = `usage:
  %[1]s [flags] PACK                    verify an EvidencePack
  %[1]s list [flags] PACK               verify it, and print its entries
  %[1]s receipt [flags] FILE            verify one receipt
  %[1]s show PACK INDEX|pack --PART     print a part of a signed statement: --statement, --pae, --sig, --fields, --key
  %[1]s version

flags:
  --trust FILE             who may sign: a C2SP tlog-policy file
  --approvers FILE         whose keys are whose: an SSH allowed_signers file
  --expect K=V,...         what you asked for: agent, session, since, until (2026-01-02T15:04:05Z);
                           can be given again for another of them
  --since-checkpoint FILE  a checkpoint or receipt that you kept: the log must be an extension of it
  --allow-partial          completeness need not be proved
  --call FILE              of a receipt: the call that it must be about, with its opening
  --full                   of a list: do not cut what is long
  --json                   the answer as JSON (spec/verify.schema.json); of a list: an object a line
%[2]s
exit codes:
  0  everything required holds: intact, signed by whom the trust file names, nothing left out
  1  the evidence is wrong: it contradicts itself or what must hold
  2  it could not be read as a pack or receipt, or wrong usage
  3  consistent, but the signer is unknown or something required is not proved
`

// A usageError says that the command was called wrongly, and how.
type usageError struct{ error }

func wrongUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run runs the command and returns its exit code.
func Run(c Command) int {
	code, err := c.run()
	if err != nil {
		fmt.Fprintf(c.Stderr, "%s: %s\n", c.Name, verify.Escape(err.Error()))
		if errors.As(err, new(usageError)) {
			fmt.Fprintf(c.Stderr, "see %s --help\n", c.Name)
		}
		return verify.ExitUnreadable
	}
	return code
}

func (c *Command) run() (int, error) {
	f, err := c.parse()
	if err != nil {
		return 0, err
	}
	switch f.word {
	case wordHelp:
		_, err := fmt.Fprintf(c.Stdout, usage, c.Name, c.Help)
		return verify.ExitOK, err
	case wordVersion:
		out := c.Version + "\n"
		if f.json {
			out = string(strictjson.AppendString([]byte(`{"version":`), c.Version)) + "}\n"
		}
		_, err := io.WriteString(c.Stdout, out)
		return verify.ExitOK, err
	case wordShow:
		return verify.ExitOK, c.show(f.files[0], f.files[1], f.part)
	}
	o, trustFile, err := c.options(f)
	if err != nil {
		return 0, err
	}
	switch f.word {
	case wordList:
		return c.list(f, o, trustFile)
	case wordReceipt:
		rep, err := c.verifyReceipt(f, o)
		return c.answer(f, rep, trustFile, err)
	}
	p, err := c.openPack(f.files[0])
	if err != nil {
		return 0, err
	}
	defer p.Close()
	rep, err := p.verify(o)
	return c.answer(f, rep, trustFile, err)
}

// answer prints a report.
func (c *Command) answer(f *flags, rep *verify.Report, trustFile string, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	rep.TrustFile = trustFile
	c.hint(rep)
	if f.json {
		_, err = c.Stdout.Write(rep.JSON())
	} else {
		err = rep.Print(c.Stdout)
	}
	return rep.Exit, err
}

// hint says where a trust file was looked for and not found.
func (c *Command) hint(rep *verify.Report) {
	if rep.TrustFile == "" && c.DefaultTrust != nil {
		fmt.Fprintf(c.Stderr, "%s: no --trust is given, and there is no %s\n", c.Name, verify.Escape(c.DefaultTrust()))
	}
}

// options reads the files that the flags name, and says which trust file it was.
func (c *Command) options(f *flags) (o verify.Options, trustFile string, err error) {
	o.AllowPartial = f.partial
	o.Each = Parallel
	o.Expect = f.expect
	if trustFile = f.trust; trustFile == "" && c.DefaultTrust != nil {
		trustFile = c.DefaultTrust()
		if _, err := os.Stat(trustFile); errors.Is(err, fs.ErrNotExist) {
			trustFile = ""
		}
	}
	if trustFile != "" {
		b, err := readFile(trustFile, verify.MaxTrustBytes)
		if err != nil {
			return o, "", err
		}
		if o.Trust, err = verify.ParseTrust(b); err != nil {
			return o, "", fmt.Errorf("%s: %w", trustFile, err)
		}
	}
	if f.approvers != "" {
		b, err := readFile(f.approvers, verify.MaxApproversBytes)
		if err != nil {
			return o, "", err
		}
		if o.Approvers, err = verify.ParseApprovers(b); err != nil {
			return o, "", fmt.Errorf("%s: %w", f.approvers, err)
		}
	}
	if f.since != "" {
		if o.SinceCheckpoint, err = readFile(f.since, receipt.MaxEnvelopeBytes); err != nil {
			return o, "", err
		}
		if what := kind(o.SinceCheckpoint); what != aCheckpoint && what != aReceipt {
			return o, "", fmt.Errorf("%s is neither a checkpoint nor a receipt: --since-checkpoint takes one that you kept", f.since)
		}
	}
	return o, trustFile, nil
}

// Parallel is an Each of verify.Options that uses every processor.
func Parallel(n int, do func(int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var next atomic.Int64
	var wg sync.WaitGroup
	const stride = 8
	for range workers {
		wg.Go(func() {
			for {
				from := int(next.Add(stride)) - stride
				if from >= n {
					return
				}
				for i := from; i < min(from+stride, n); i++ {
					do(i)
				}
			}
		})
	}
	wg.Wait()
}
