package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// maxExamples is how many entries are named for a rule.
const maxExamples = 5

// A surveyed is what a pack shows of a rule or budget.
type surveyed struct {
	Rule     string                  `json:"rule"`
	Matched  uint64                  `json:"matched"` // decisions; of a budget: that it was consulted for
	Decided  map[helm.Verdict]uint64 `json:"decided"` // of them, those that it decided
	Approved uint64                  `json:"approved"`
	Refused  uint64                  `json:"refused"`
	By       []string                `json:"by"`       // who answered what it asked
	Examples []uint64                `json:"examples"` // entries that it decided, or else matched
	First    string                  `json:"first,omitzero"`
	Last     string                  `json:"last,omitzero"`
}

// A controlSurveyed is a control with what a pack shows of its rules.
type controlSurveyed struct {
	Control string      `json:"control"`
	Rules   []*surveyed `json:"rules"`
}

func (a *app) controlsCmd() *cobra.Command {
	var trust string
	c := &cobra.Command{Use: "controls FILE [PACK]", Short: "Which controls a policy's rules serve, and what a pack shows of them",
		Long: `Print which controls the rules and budgets of a policy file serve, as the comments right
above them say: # controls: SOC 2 CC6.1; HIPAA 164.312(a)(1)

With an EvidencePack, what it shows of each: decisions under this very file that the rule
matched and decided, and who answered what it asked. The pack is verified first.

Whether a control is met is for an auditor to say.

Exit codes: 0 done; 1 the file or the evidence is wrong; 2 unreadable, or wrong usage; 3 the
pack does not prove all that it must.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return usagef("policy controls needs FILE, and may have PACK")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := os.ReadFile(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			all, without, err := policy.Controls(args[0], src)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.showControls(all, without)
			}
			p, err := policy.Compile(args[0], src)
			if err != nil {
				return err
			}
			return a.showEvidence(p, all, without, args[1], trust)
		}}
	c.Flags().StringVar(&trust, "trust", "", "who signs the pack: a trust file; default: trust.policy in the home, where there is one")
	return c
}

func (a *app) showControls(all []policy.Control, without []string) error {
	if a.json {
		return a.printJSON(map[string]any{"controls": all, "without": append([]string{}, without...)})
	}
	rows := [][]string{}
	for _, c := range all {
		for i, rule := range c.Rules {
			name := ""
			if i == 0 {
				name = safeText(c.Name)
			}
			rows = append(rows, []string{name, safeText(rule)})
		}
	}
	a.table(rows)
	if len(without) > 0 {
		a.printf("\nThese name no control: %s\n", safeText(strings.Join(without, ", ")))
	}
	return nil
}

// showEvidence prints what a pack shows of each control.
func (a *app) showEvidence(p *policy.Policy, all []policy.Control, without []string, name, trust string) error {
	ev, err := a.openEvidence(name, trust)
	if err != nil {
		return err
	}
	defer ev.Close()
	s := survey{policy: p.SHA256(), rules: map[string]*surveyed{}, others: map[receipt.Hash]uint64{}, asked: map[uint64][]string{}}
	for e, err := range ev.pack.Entries(ev.report.Entries) {
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("%s: %w", name, err)}
		}
		s.see(e.Statement)
	}
	var out []controlSurveyed
	for _, c := range all {
		one := controlSurveyed{Control: c.Name}
		for _, rule := range c.Rules {
			one.Rules = append(one.Rules, s.of(rule))
		}
		out = append(out, one)
	}
	if a.json {
		others := map[string]uint64{}
		for sha, n := range s.others {
			others[fmt.Sprintf("%x", sha)] = n
		}
		err = a.printJSON(map[string]any{"policy": fmt.Sprintf("%x", p.SHA256()), "decisions": s.decisions, "under_other_policies": others, "more_matched": s.more,
			"verified": ev.report.Verdict, "controls": out, "without": append([]string{}, without...)})
	} else {
		a.printEvidence(&s, out, without, ev.report)
	}
	if err == nil && ev.report.Exit != verify.ExitOK {
		return &exitError{exitNoServer, nil} // 3, which means here that not all is proved
	}
	return err
}

func (a *app) printEvidence(s *survey, all []controlSurveyed, without []string, rep *verify.Report) {
	for _, c := range all {
		a.printf("%s\n", a.paint(bold, safeText(c.Control)))
		for _, r := range c.Rules {
			text := fmt.Sprintf("matched %d", r.Matched)
			for _, v := range []helm.Verdict{helm.Allow, helm.Deny, helm.Escalate} {
				if n := r.Decided[v]; n > 0 {
					text += fmt.Sprintf(", %d %s", n, v)
				}
			}
			if r.Approved+r.Refused > 0 {
				text += fmt.Sprintf("; %d approvals and %d refusals by %s", r.Approved, r.Refused, strings.Join(r.By, ", "))
			}
			if len(r.Examples) > 0 {
				text += fmt.Sprintf("; from %s to %s, such as entries %s", r.First, r.Last, strings.Trim(fmt.Sprint(r.Examples), "[]"))
			}
			a.printf("  %-28s %s\n", safeText(r.Rule), safeText(text))
		}
	}
	a.printf("\n%d decisions under this file.\n", s.decisions)
	for _, sha := range s.otherPolicies() {
		a.printf("%d decisions under another one, %x, are not counted.\n", s.others[sha], sha)
	}
	if s.more > 0 {
		a.printf("%d decisions matched more rules than a receipt names: those are not counted.\n", s.more)
	}
	if len(without) > 0 {
		a.printf("These name no control: %s\n", safeText(strings.Join(without, ", ")))
	}
	a.printf("%s\n", safeText(rep.Verdict))
	for _, f := range rep.Findings {
		if f.Status == verify.NotProved {
			a.printf("not proved: %s\n", safeText(f.Text))
		}
	}
}

// A survey counts what the entries of a pack show of a policy's rules.
type survey struct {
	policy    receipt.Hash
	rules     map[string]*surveyed
	others    map[receipt.Hash]uint64
	asked     map[uint64][]string // index of an ESCALATE -> the rules that asked
	decisions uint64
	more      uint64
}

func (s *survey) of(rule string) *surveyed {
	if s.rules[rule] == nil {
		s.rules[rule] = &surveyed{Rule: rule, Decided: map[helm.Verdict]uint64{}, By: []string{}, Examples: []uint64{}}
	}
	return s.rules[rule]
}

func (s *survey) see(st *receipt.Statement) {
	switch b := st.Body.(type) {
	case *receipt.Decision:
		s.decision(st, b)
	case *receipt.Approval:
		for _, rule := range s.asked[b.Escalation.Index] {
			one := s.of(rule)
			if b.Answer == receipt.AnswerApprove {
				one.Approved++
			} else {
				one.Refused++
			}
			if who := b.Approver + " (" + b.Grade + ")"; !slices.Contains(one.By, who) {
				one.By = append(one.By, who)
			}
		}
	}
}

func (s *survey) decision(st *receipt.Statement, b *receipt.Decision) {
	if b.Policy.SHA256 != s.policy {
		s.others[b.Policy.SHA256]++
		return
	}
	s.decisions++
	if b.MatchedMore > 0 {
		s.more++
	}
	note := func(rule string) {
		one := s.of(rule)
		one.Matched++
		one.Last = receipt.FormatTime(st.Time)
		if one.First == "" {
			one.First = one.Last
		}
		if len(one.Examples) < maxExamples {
			one.Examples = append(one.Examples, st.Index)
		}
		if b.Rule == rule {
			one.Decided[b.Verdict]++
		}
	}
	for _, m := range b.Matched {
		note(m.Rule)
	}
	for _, m := range b.Budgets {
		note("budget:" + m.ID)
	}
	if consulted := slices.ContainsFunc(b.Budgets, func(m receipt.Budget) bool { return "budget:"+m.ID == b.Rule }); strings.HasPrefix(b.Rule, "budget:") && !consulted {
		note(b.Rule) // its amount could not be told
	}
	if b.Escalation != nil {
		for _, r := range b.Escalation.Requires {
			if rules := s.asked[st.Index]; !slices.Contains(rules, r.Rule) {
				s.asked[st.Index] = append(rules, r.Rule)
			}
		}
	}
}

// otherPolicies are those of decisions that are not counted.
func (s *survey) otherPolicies() (all []receipt.Hash) {
	for sha := range s.others {
		all = append(all, sha)
	}
	slices.SortFunc(all, func(a, b receipt.Hash) int { return slices.Compare(a[:], b[:]) })
	return all
}
