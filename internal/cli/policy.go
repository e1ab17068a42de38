package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

func (a *app) policyCmd() *cobra.Command {
	reload := &cobra.Command{Use: "reload", Short: "Have the server read its policy file again", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(true)
		if err != nil {
			return err
		}
		var said struct {
			Said string `json:"said"`
		}
		if err := c.ask(cmd.Context(), http.MethodPost, "/v1/policy/reload", nil, struct{}{}, &said); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(said)
		}
		a.printf("%s\n", safeText(said.Said))
		return nil
	}}
	return group("policy", "Check, test, explain, compare, format and begin policy files", a.checkCmd(), a.testCmd(), a.approversCmd(), a.controlsCmd(), a.explainCmd(), a.diffCmd(), a.fmtCmd(), a.importMCPCmd(), reload)
}

func (a *app) checkCmd() *cobra.Command {
	var asSARIF bool
	check := &cobra.Command{Use: "check FILE", Short: "Check a policy file, tests included", Args: exactly(1), RunE: func(_ *cobra.Command, args []string) error {
		src, err := os.ReadFile(args[0])
		if err != nil {
			return &exitError{exitUsage, err}
		}
		found := []policy.Finding{}
		p, err := policy.Compile(args[0], src)
		if wrong := (*policy.Error)(nil); errors.As(err, &wrong) {
			found = wrong.Findings
		} else if err == nil {
			found = append(found, p.Warnings()...)
		}
		switch {
		case asSARIF:
			if perr := a.printJSON(sarif(args[0], found)); perr != nil {
				return perr
			}
		case a.json && err != nil:
			if perr := a.printJSON(map[string]any{"ok": false, "error": err.Error(), "findings": found}); perr != nil {
				return perr
			}
		case a.json:
			return a.printJSON(map[string]any{"ok": true, "id": p.ID(), "version": p.Version(), "sha256": fmt.Sprintf("%x", p.SHA256()), "mode": p.Mode(), "findings": found})
		case err != nil:
			a.printf("%s\n", safeText(strings.TrimRight(err.Error(), "\n")))
		default:
			for _, f := range found {
				a.printf("%s\n", safeText(f.String()))
			}
			a.printf("%s: policy %s version %d is good, sha256 %x\n", args[0], p.ID(), p.Version(), p.SHA256())
		}
		if err != nil {
			return &exitError{exitNo, nil}
		}
		return nil
	}}
	check.Flags().BoolVar(&asSARIF, "sarif", false, "what was found as SARIF 2.1.0, which code hosts show on the line")
	return check
}

func (a *app) testCmd() *cobra.Command {
	least := 0
	test := &cobra.Command{Use: "test FILE", Short: "Run a policy file's own tests, and say what they have seen of it", Args: exactly(1), RunE: func(_ *cobra.Command, args []string) error {
		if least < 0 || least > 100 {
			return usagef("--min-coverage is %d: it must be from 0 to 100", least)
		}
		src, err := os.ReadFile(args[0])
		if err != nil {
			return &exitError{exitUsage, err}
		}
		results, seen, err := policy.Test(args[0], src)
		if err != nil {
			return err
		}
		failed := 0
		for _, r := range results {
			if !r.OK {
				failed++
			}
		}
		if a.json {
			if err := a.printJSON(map[string]any{"passed": len(results) - failed, "failed": failed, "tests": results, "coverage": seen}); err != nil {
				return err
			}
		} else {
			a.showTests(results, failed)
			a.showCoverage(args[0], seen)
		}
		if failed > 0 || len(results) == 0 {
			return &exitError{exitNo, nil}
		}
		if seen.Percent() < least {
			return &exitError{exitNo, fmt.Errorf("the tests have seen %d %% of the policy: --min-coverage asks for %d %%", seen.Percent(), least)}
		}
		return nil
	}}
	test.Flags().IntVar(&least, "min-coverage", 0, "exit 1 when the tests have seen less of the policy, in percent")
	return test
}

func (a *app) showTests(results []policy.TestResult, failed int) {
	for _, r := range results {
		word := a.paint(green, "ok    ")
		if !r.OK {
			word = a.paint(red, "FAILED")
		}
		a.printf("%s  %s\n", word, safeText(r.Name))
		if !r.OK {
			a.printf("        %s\n", safeText(r.Message))
		}
	}
	a.printf("%d passed, %d failed\n", len(results)-failed, failed)
	if len(results) == 0 {
		a.printf("the file has no [[test]]\n")
	}
}

// showCoverage prints what no test has seen.
func (a *app) showCoverage(file string, c *policy.Coverage) {
	a.printf("%d of %d outcomes were seen, %d %%\n", c.Seen, c.Of, c.Percent())
	at := func(line int, format string, args ...any) {
		a.printf("  %s %s\n", a.paint(faint, fmt.Sprintf("%s:%d:", safeText(file), line)), safeText(fmt.Sprintf(format, args...)))
	}
	for _, r := range c.Rules {
		if r.Matched == 0 {
			at(r.Line, "no test matches the rule %s", r.Rule)
		}
		for i, b := range r.Branches {
			what := "the condition of " + r.Rule
			if i > 0 {
				what = strings.Join(strings.Fields(b.Expr), " ")
			}
			switch {
			case b.True == 0 && b.False == 0:
				at(b.Line, "never looked at: %s", what)
			case b.True == 0 && i > 0:
				at(b.Line, "never true: %s", what)
			case b.False == 0:
				at(b.Line, "never false: %s", what)
			}
		}
	}
	for _, b := range c.Budgets {
		if b.Fitted == 0 {
			a.printf("  no test finds room in the budget %s\n", safeText(b.Budget))
		}
		if b.Full == 0 {
			a.printf("  no test finds the budget %s used up\n", safeText(b.Budget))
		}
	}
}
