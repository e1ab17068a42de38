package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/facts"
	"github.com/helm-ai-kernel/helm-ai-kernel/facts/factstest"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/replay"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

// policies measures the evaluation of a policy of 1,000 rules on 200 tools, of which
// some rules are for all tools of a server.
func policies(context.Context, string) error {
	var b strings.Builder
	b.WriteString("[policy]\nid = \"bench\"\nversion = 1\nformat = \"helm.policy/v1\"\nmode = \"enforce\"\n")
	for t := range 200 {
		fmt.Fprintf(&b, "[[tool]]\nname = \"server%d.tool%d\"\nargs = { amount = \"int\", to = \"string\" }\n", t/10, t)
		for r := range 5 {
			fmt.Fprintf(&b, "[[rule]]\nid = \"t%d-r%d\"\nverdict = \"ALLOW\"\ntools = [\"server%d.tool%d\"]\nwhen = \"args.amount > %d && args.to.startsWith('acct_%d')\"\n", t, r, t/10, t, r*100, r)
		}
	}
	p, err := policy.Compile("bench.toml", []byte(b.String()))
	if err != nil {
		return err
	}
	args, err := strictjson.Parse([]byte(`{"amount":350,"to":"acct_2"}`))
	if err != nil {
		return err
	}
	in := policy.Input{Agent: "a", Session: "s", Tool: "server7.tool77", Principal: "none", Boundary: "bench", Arguments: args, Now: time.Now()}
	got, err := median(func() (float64, error) {
		began := time.Now()
		for range 20_000 {
			p.Evaluate(in)
		}
		return float64(time.Since(began).Nanoseconds()) / 20_000 / 1000, nil
	})
	if err != nil {
		return err
	}
	row("policy evaluation, 1,000 rules", fmt.Sprintf("%.1f us", got), "<= 25 us, aim 10", got <= 25)
	return nil
}

// shell measures what a policy is told of a shell command: its commands as they are written, and
// what running it would do.
func shell(context.Context, string) error {
	read := func(command string) {
		facts.ParseShell(command)
		facts.ShellEffects(command, "/srv/app")
	}
	var slowest float64
	for _, command := range factstest.Typical {
		got, err := median(func() (float64, error) {
			began := time.Now()
			for range 5_000 {
				read(command)
			}
			return float64(time.Since(began).Nanoseconds()) / 5_000 / 1000, nil
		})
		if err != nil {
			return err
		}
		slowest = max(slowest, got)
	}
	row("shell facts, the slowest of 5 typical commands", fmt.Sprintf("%.1f us", slowest), "<= 30 us", slowest <= 30)
	slowest = 0
	of := ""
	for name, command := range factstest.Hostile() {
		got, err := median(func() (float64, error) {
			began := time.Now()
			read(command)
			return float64(time.Since(began).Microseconds()) / 1000, nil
		})
		if err != nil {
			return err
		}
		if got > slowest {
			slowest, of = got, name
		}
	}
	row("shell facts, 64 KiB made to take long, the slowest ("+of+")", fmt.Sprintf("%.1f ms", slowest), "<= 50 ms", slowest <= 50)
	return nil
}

func disk(ctx context.Context, dir string) error {
	s, err := open(ctx, filepath.Join(dir, "disk"))
	if err != nil {
		return err
	}
	n := 20_000
	if _, err := s.decideAll(ctx, 64, n); err != nil {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	st, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	per := float64(st.Size()) / float64(n) / 1024
	row("disk per decision, 200 B of arguments", fmt.Sprintf("%.2f KiB", per), "<= 3 KiB, aim 2", per <= 3)
	return nil
}

// packs exports a pack and verifies it with helm-verify, a process of its own.
func packs(ctx context.Context, dir string) error {
	s, err := open(ctx, filepath.Join(dir, "pack"))
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := s.decideAll(ctx, 64, 20_000); err != nil {
		return err
	}
	file := filepath.Join(dir, "pack.tar")
	if err := export(ctx, s, file, receipt.Query{All: true}); err != nil {
		return err
	}
	v, err := verifyFile(ctx, s, dir, file)
	if err != nil {
		return err
	}
	v.row("helm-verify, signed entries", ">= 20000/s or 0.61, aim 28000", v.enough())
	return replayed(file)
}

// replayed makes a pack's decisions again, which was verified.
func replayed(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := pack.Open(f, st.Size())
	if err != nil {
		return err
	}
	rep, err := verify.Pack(f, st.Size(), verify.Options{Each: verifycmd.Parallel})
	if err != nil {
		return err
	}
	began := time.Now()
	totals, err := replay.Run(p, rep.Entries, nil, func(*replay.Decision) error { return nil })
	if err != nil {
		return err
	}
	if totals.Differ > 0 || totals.CannotTell > 0 {
		return fmt.Errorf("replay: %+v", totals)
	}
	rate := float64(totals.Agree) / time.Since(began).Seconds()
	row("replay, decisions made again, one processor", fmt.Sprintf("%.0f/s", rate), ">= 20000/s", rate >= 20_000)
	return nil
}

func export(ctx context.Context, s *system, file string, q receipt.Query) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = s.kernel.Export(ctx, f, kernel.Export{Query: q, Options: pack.Options{Dir: filepath.Dir(file)}})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// verified is what helm-verify reached, and beside it what the signatures alone cost on
// as many processors.
type verified struct{ rate, signatures, rssMiB float64 }

func (v verified) String() string {
	return fmt.Sprintf("%.0f/s, %.0f MiB", v.rate, v.rssMiB)
}

// enough reports whether it is 20,000, or on a slower machine than that for which the
// budget was set the same share of what the signatures alone cost: 20,000 of 33,000.
func (v verified) enough() bool { return v.rate >= 20_000 || v.rate/v.signatures >= 20_000./33_000 }

func (v verified) row(what, limit string, ok bool) {
	info("Ed25519 verify alone, all cores", fmt.Sprintf("%.0f/s", v.signatures))
	row(what, fmt.Sprintf("%v = %.2f of that", v, v.rate/v.signatures), limit, ok)
}

func verifyFile(ctx context.Context, s *system, dir, file string) (v verified, err error) {
	trust := filepath.Join(dir, "trust")
	if err := os.WriteFile(trust, []byte("log "+receipt.VKey(s.log.Origin(), s.log.Key())+"\nquorum none\n"), 0o600); err != nil {
		return v, err
	}
	var alone []float64
	v.rate, err = median(func() (float64, error) {
		alone = append(alone, signaturesAlone())
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "helm-verify"), "--trust", trust, file)
		began := time.Now()
		peak, err := runWatched(cmd)
		if err != nil {
			return 0, err
		}
		took := time.Since(began)
		v.rssMiB = max(v.rssMiB, peak)
		return float64(s.log.Size()) / took.Seconds(), nil
	})
	slices.Sort(alone)
	v.signatures = alone[len(alone)/2]
	return v, err
}

// signaturesAlone is how many signatures of statements are verified in a second.
func signaturesAlone() float64 {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // as rand.Read does
	}
	const n = 20_000
	msg := make([]byte, 1100)
	sig := ed25519.Sign(key, msg)
	began := time.Now()
	verifycmd.Parallel(n, func(int) { ed25519.Verify(pub, msg, sig) })
	return n / time.Since(began).Seconds()
}

// build builds the two programs, stripped.
func build(dir string) error {
	for _, p := range []string{"helm-ai-kernel", "helm-verify"} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, p), "./cmd/"+p)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", p, err, out)
		}
	}
	return nil
}

func binaries(ctx context.Context, dir string) error {
	for p, limit := range map[string]float64{"helm-ai-kernel": 40, "helm-verify": 4} {
		st, err := os.Stat(filepath.Join(dir, p))
		if err != nil {
			return err
		}
		mb := float64(st.Size()) / 1e6
		row("stripped binary "+p, fmt.Sprintf("%.1f MB", mb), fmt.Sprintf("<= %.0f MB", limit), mb <= limit)
	}
	file := filepath.Join(dir, "bench.toml")
	if err := os.WriteFile(file, []byte(benchPolicy), 0o600); err != nil {
		return err
	}
	n := 0
	got, err := median(func() (float64, error) {
		n++
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "helm-ai-kernel"), "serve", "--policy", file, "--listen", "127.0.0.1:0", "--home", filepath.Join(dir, fmt.Sprint("start", n)))
		server := filepath.Join(dir, fmt.Sprint("start", n), "server.json")
		began := time.Now()
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		for {
			if _, err := os.Stat(server); err == nil {
				return float64(time.Since(began).Milliseconds()), nil
			}
			if time.Since(began) > 10*time.Second {
				return 0, fmt.Errorf("serve did not listen within 10 s")
			}
			time.Sleep(time.Millisecond)
		}
	})
	if err != nil {
		return err
	}
	row("start to listening, first start of a home", fmt.Sprintf("%.0f ms", got), "<= 150 ms", got <= 150)
	return nil
}

// growth compares one caller over HTTP on an empty log with the same on a large
// one, and verifies a large pack.
func growth(ctx context.Context, dir string) error {
	if *large == 0 {
		return nil
	}
	s, err := open(ctx, filepath.Join(dir, "large"))
	if err != nil {
		return err
	}
	defer s.close()
	address, stop, err := serve(s)
	if err != nil {
		return err
	}
	defer stop()
	ends := benchCall(0, 0)
	ends.Session = "first-and-last"
	var base time.Duration
	for _, size := range []int{0, *large / 10, *large} {
		if n := size - int(s.log.Size()); n > 0 {
			rate, err := s.decideAll(ctx, 512, n)
			if err != nil {
				return err
			}
			info(fmt.Sprintf("filled to %d entries, 512 callers", s.log.Size()), fmt.Sprintf("%.0f/s", rate))
		}
		p50, p99, err := oneCaller(ctx, address)
		if err != nil {
			return err
		}
		if size == 0 {
			base = p50
		}
		if size == *large/10 { // the window of this session's evidence begins here, below the most leaves that a pack holds
			if _, err := s.kernel.Decide(ctx, ends); err != nil {
				return err
			}
		}
		ratio := float64(p50) / float64(base)
		row(fmt.Sprintf("one caller with %d entries in the log", s.log.Size()), fmt.Sprintf("p50 %s, p99 %s = %.2f x", p50, p99, ratio), "<= 1.2 x the empty log", ratio <= 1.2)
	}
	file := filepath.Join(dir, "large.tar")
	if err := export(ctx, s, file, receipt.Query{All: true}); err != nil {
		return err
	}
	v, err := verifyFile(ctx, s, dir, file)
	if err != nil {
		return err
	}
	v.row(fmt.Sprintf("helm-verify of %d entries", s.log.Size()), ">= 20000/s or 0.61, <= 128 MiB", v.enough() && v.rssMiB <= 128)
	ends.CallID = "last"
	if _, err := s.kernel.Decide(ctx, ends); err != nil {
		return err
	}
	if err := export(ctx, s, file, receipt.Query{Agent: ends.Agent, Session: ends.Session}); err != nil {
		return err
	}
	if v, err = verifyFile(ctx, s, dir, file); err != nil {
		return err
	}
	row("helm-verify of one session among as many leaves", v.String(), ">= 500000/s", v.rate >= 500_000)
	return nil
}
