package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/replay"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

func (a *app) replayCmd() *cobra.Command {
	var trust, other string
	c := &cobra.Command{Use: "replay PACK", Short: "Make a pack's decisions again, and say which agree", Args: exactly(1),
		Long: `Make the decisions of an EvidencePack again, each from the policy bytes and the arguments
that the pack holds. The pack is verified first: what is wrong is not replayed.

With --policy FILE: what would have been decided under another policy.

Exit codes: 0 every decision agrees, 1 one differs or the evidence is wrong, 2 unreadable or
wrong usage, 3 something could not be told, or the pack does not prove all that it must.`,
		RunE: func(_ *cobra.Command, args []string) error {
			var under *policy.Policy
			if other != "" {
				src, err := os.ReadFile(other)
				if err == nil {
					under, err = policy.Compile(other, src)
				}
				if err != nil {
					return &exitError{exitUsage, err}
				}
			}
			return a.replay(args[0], trust, under)
		}}
	c.Flags().StringVar(&trust, "trust", "", "who signs: a trust file; default: trust.policy in the home, where there is one")
	c.Flags().StringVar(&other, "policy", "", "make every decision under this policy file")
	return c
}

func (a *app) replay(name, trust string, other *policy.Policy) error {
	ev, err := a.openEvidence(name, trust)
	if err != nil {
		return err
	}
	defer ev.Close()
	rep := ev.report
	out := bufio.NewWriter(a.out)
	s := &replayPrinter{app: a, out: out, changes: map[string]*change{}}
	show := s.line
	switch {
	case a.json:
		show = s.object
	case other != nil:
		show = s.count
	}
	totals, err := replay.Run(ev.pack, rep.Entries, other, show)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("%s: %w", name, err)}
	}
	if err := s.end(rep, totals, other); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	switch {
	case totals.Differ > 0:
		return &exitError{exitNo, nil}
	case totals.CannotTell > 0 || rep.Exit != verify.ExitOK:
		return &exitError{exitNoServer, nil} // 3, which means here that not all is proved
	}
	return nil
}

// An evidence is a pack that was verified, and is not wrong.
type evidence struct {
	*os.File
	pack   *pack.Reader
	report *verify.Report
}

// openEvidence verifies a pack with a trust file, by default the home's where it has one.
func (a *app) openEvidence(name, trust string) (*evidence, error) {
	o := verify.Options{Each: verifycmd.Parallel}
	path := trust
	if path == "" {
		path = (&home{dir: a.home}).trust()
	}
	unreadable := func(err error) error { return &exitError{exitUsage, err} }
	if b, err := os.ReadFile(path); err == nil {
		if o.Trust, err = verify.ParseTrust(b); err != nil {
			return nil, unreadable(fmt.Errorf("%s: %w", path, err))
		}
	} else if trust != "" || !errors.Is(err, fs.ErrNotExist) {
		return nil, unreadable(err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, unreadable(err)
	}
	ev := &evidence{File: f}
	if err := ev.verify(o); err != nil {
		f.Close()
		return nil, unreadable(fmt.Errorf("%s: %w", name, err))
	}
	if ev.report.Exit == verify.ExitWrong {
		f.Close()
		return nil, fmt.Errorf("the evidence is wrong, and is not replayed: see helm-ai-kernel verify %s", name)
	}
	return ev, nil
}

func (ev *evidence) verify(o verify.Options) error {
	st, err := ev.Stat()
	if err != nil {
		return err
	}
	if ev.report, err = verify.Pack(ev.File, st.Size(), o); err != nil || ev.report.Exit == verify.ExitWrong {
		return err
	}
	ev.pack, err = pack.Open(ev.File, st.Size())
	return err
}

// A replayPrinter prints what came of a replay.
type replayPrinter struct {
	*app
	out     *bufio.Writer
	changes map[string]*change // by what changes into what
}

// A change is decisions that another policy would have made in one other way.
type change struct {
	count uint64
	first uint64
}

func (s *replayPrinter) object(d *replay.Decision) error {
	b, err := json.Marshal(d)
	if err == nil {
		_, err = s.out.Write(append(b, '\n'))
	}
	return err
}

// line prints a decision that does not agree.
func (s *replayPrinter) line(d *replay.Decision) error {
	if d.Answer == replay.Agree {
		return nil
	}
	_, err := fmt.Fprintf(s.out, "%s entry %d, %s: %s\n", s.word(d.Answer), d.Index, safeText(d.Tool+" by "+d.Agent+" in "+d.Session), safeText(d.Why))
	return err
}

func (s *replayPrinter) word(a replay.Answer) string {
	switch a {
	case replay.Agree:
		return s.paint(green, "agree      ")
	case replay.Differ:
		return s.paint(red, "differ     ")
	}
	return s.paint(yellow, "cannot tell")
}

func (s *replayPrinter) count(d *replay.Decision) error {
	if d.Answer == replay.Agree {
		return nil
	}
	key := "cannot tell: " + d.Why
	if d.Answer == replay.Differ {
		key = fmt.Sprintf("%s -> %s", d.Recorded, d.Replayed)
	}
	c := s.changes[key]
	if c == nil {
		c = &change{first: d.Index}
		s.changes[key] = c
	}
	c.count++
	return nil
}

func (s *replayPrinter) end(rep *verify.Report, t replay.Totals, other *policy.Policy) error {
	if s.json {
		b, err := json.Marshal(map[string]any{"totals": t, "verified": rep.Verdict, "engine": policy.Engine}, json.Deterministic(true))
		if err == nil {
			_, err = s.out.Write(append(b, '\n'))
		}
		return err
	}
	var keys []string
	for k := range s.changes {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := int(s.changes[b].count) - int(s.changes[a].count); d != 0 {
			return d
		}
		return slices.Compare([]byte(a), []byte(b))
	})
	for _, k := range keys {
		c := s.changes[k]
		fmt.Fprintf(s.out, "%7d  %s, such as entry %d\n", c.count, safeText(k), c.first)
	}
	under := "their own policies"
	if other != nil {
		under = fmt.Sprintf("the policy %s version %d", other.ID(), other.Version())
	}
	fmt.Fprintf(s.out, "%s\n%d decisions under %s: %d agree, %d differ, of %d it cannot be told\n", safeText(rep.Verdict),
		t.Agree+t.Differ+t.CannotTell, under, t.Agree, t.Differ, t.CannotTell)
	if t.OtherEngine > 0 {
		fmt.Fprintf(s.out, "%d of them were evaluated by another engine than this one, %s\n", t.OtherEngine, policy.Engine)
	}
	return nil
}
