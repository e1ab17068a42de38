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
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// A Command is how the verifier was called.
type Command struct {
	Name string // such as "helm-verify", for messages
	Args []string

	// DefaultTrust is a trust file that is used, if it is there, where --trust is not
	// given; or "".
	DefaultTrust string

	Stdout, Stderr io.Writer
}

const usage = `usage:
  %[1]s [flags] PACK                    verify an EvidencePack
  %[1]s receipt [flags] FILE            verify one receipt
  %[1]s show PACK INDEX|pack --PART     print a part of a signed statement: --statement, --pae, --sig, --fields, --key

flags:
  --trust FILE             who may sign: a C2SP tlog-policy file
  --expect K=V,...         what you asked for: agent, session, since, until (2026-01-02T15:04:05.000000Z)
  --since-checkpoint FILE  a checkpoint or receipt that you kept: the log must be an extension of it
  --allow-partial          completeness need not be proved
  --call FILE              of a receipt: the call that it must be about, with its opening
  --json                   the answer as JSON (spec/verify.schema.json)

exit codes:
  0  everything required holds
  1  the evidence is wrong
  2  it could not be read, or wrong usage
  3  consistent, but the signer is unknown or something required is not proved
`

// errUsage is wrapped by errors that the usage follows.
var errUsage = errors.New("wrong usage")

// Run runs the command and returns its exit code.
func Run(c Command) int {
	// Verifying keeps little and throws much away: collect early, stay small.
	defer debug.SetGCPercent(debug.SetGCPercent(30))
	code, err := c.run()
	if err != nil {
		fmt.Fprintf(c.Stderr, "%s: %s\n", c.Name, verify.Escape(err.Error()))
		if errors.Is(err, errUsage) {
			fmt.Fprintf(c.Stderr, usage, c.Name)
		}
		return verify.ExitUnreadable
	}
	return code
}

type flags struct {
	trust, expect, since, call string
	partial, json, help        bool
	part                       string // of show
	files                      []string
}

// parse reads flags and files in any order.
func parse(args []string) (*flags, error) {
	f := new(flags)
	s := flag.NewFlagSet("", flag.ContinueOnError)
	s.SetOutput(io.Discard)
	s.StringVar(&f.trust, "trust", "", "")
	s.StringVar(&f.expect, "expect", "", "")
	s.StringVar(&f.since, "since-checkpoint", "", "")
	s.StringVar(&f.call, "call", "", "")
	s.BoolVar(&f.partial, "allow-partial", false, "")
	s.BoolVar(&f.json, "json", false, "")
	for _, part := range parts {
		s.BoolFunc(part, "", func(string) error {
			if f.part != "" {
				return errors.New("one part at a time")
			}
			f.part = part
			return nil
		})
	}
	for {
		switch err := s.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			f.help = true
			return f, nil
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		case s.NArg() == 0:
			return f, nil
		}
		f.files = append(f.files, s.Arg(0))
		args = s.Args()[1:]
	}
}

func (c *Command) run() (int, error) {
	f, err := parse(c.Args)
	if err != nil {
		return 0, err
	}
	if f.help {
		_, err := fmt.Fprintf(c.Stdout, usage, c.Name)
		return verify.ExitOK, err
	}
	if len(f.files) == 3 && f.files[0] == "show" && f.part != "" {
		return verify.ExitOK, show(c.Stdout, f.files[1], f.files[2], f.part)
	}
	isReceipt := len(f.files) == 2 && f.files[0] == "receipt"
	if len(f.files) != 1 && !isReceipt || f.part != "" || f.call != "" && !isReceipt {
		return 0, fmt.Errorf("%w: one PACK, or receipt and one FILE, or show, PACK, INDEX and one part", errUsage)
	}
	o, err := c.options(f)
	if err != nil {
		return 0, err
	}
	var rep *verify.Report
	if isReceipt {
		rep, err = verifyReceipt(f, o)
	} else {
		rep, err = verifyPack(f.files[0], o)
	}
	if err != nil {
		return 0, err
	}
	if f.json {
		_, err = c.Stdout.Write(rep.JSON())
	} else {
		err = rep.Print(c.Stdout)
	}
	return rep.Exit, err
}

func (c *Command) options(f *flags) (o verify.Options, err error) {
	o.AllowPartial = f.partial
	o.Each = Parallel
	var b []byte
	if f.trust != "" {
		b, err = readFile(f.trust, verify.MaxTrustBytes)
	} else if c.DefaultTrust != "" {
		if b, err = readFile(c.DefaultTrust, verify.MaxTrustBytes); errors.Is(err, fs.ErrNotExist) {
			b, err = nil, nil
		}
	}
	if err != nil {
		return o, err
	}
	if b != nil {
		if o.Trust, err = verify.ParseTrust(b); err != nil {
			return o, err
		}
	}
	if f.since != "" {
		if o.SinceCheckpoint, err = readFile(f.since, receipt.MaxEnvelopeBytes); err != nil {
			return o, err
		}
	}
	o.Expect, err = parseExpect(f.expect)
	return o, err
}

func parseExpect(s string) (*verify.Expectation, error) {
	if s == "" {
		return nil, nil
	}
	e := new(verify.Expectation)
	seen := map[string]bool{}
	for _, kv := range strings.Split(s, ",") {
		k, v, _ := strings.Cut(kv, "=")
		if seen[k] {
			return nil, fmt.Errorf("%w: --expect names %s twice", errUsage, k)
		}
		seen[k] = true
		var err error
		switch k {
		case "agent":
			e.Agent, err = v, helm.CheckName(k, v)
		case "session":
			e.Session, err = v, helm.CheckName(k, v)
		case "since":
			e.Since, err = parseTime(v)
		case "until":
			e.Until, err = parseTime(v)
		default:
			err = fmt.Errorf("%q is not one of agent, session, since, until", k)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: --expect: %w", errUsage, err)
		}
	}
	if e.Session != "" && e.Agent == "" {
		return nil, fmt.Errorf("%w: --expect: a session is one of an agent: name the agent too", errUsage)
	}
	return e, nil
}

// parseTime reads RFC 3339; what is asked for need not have six decimals.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err
}

func verifyPack(name string, o verify.Options) (*verify.Report, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	rep, err := verify.Pack(file, info.Size(), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rep, nil
}

func verifyReceipt(f *flags, o verify.Options) (*verify.Report, error) {
	b, err := readFile(f.files[1], receipt.MaxEnvelopeBytes)
	if err != nil {
		return nil, err
	}
	var call []byte
	if f.call != "" {
		if call, err = readFile(f.call, 2*helm.MaxInputBytes); err != nil {
			return nil, err
		}
	}
	rep, err := verify.Receipt(b, call, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.files[1], err)
	}
	return rep, nil
}

func readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s has more than %d bytes", name, max)
	}
	return b, err
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
