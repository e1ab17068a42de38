package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

func (a *app) explainCmd() *cobra.Command {
	in := policy.Input{Agent: "agent", Session: "session", Principal: helm.PrincipalNone, Boundary: "explain"}
	var args, context, now string
	c := &cobra.Command{Use: "explain FILE --tool T --args JSON", Short: "Say what every rule makes of a call, and what would change it", Args: exactly(1),
		Long: `Say what every rule of a policy file makes of a call: whether its condition holds, and the
values that it read. For a DENY or an ESCALATE also which single argument, with another value out
of those that the rules speak of, would give a milder verdict. Nothing is recorded.`,
		RunE: func(_ *cobra.Command, files []string) error {
			if in.Tool == "" {
				return usagef("policy explain needs --tool")
			}
			var err error
			if in.Arguments, err = readObject("--args", args); err != nil {
				return err
			}
			if context != "" {
				if in.Context, err = readObject("--context", context); err != nil {
					return err
				}
			}
			in.Now = time.Now().UTC().Truncate(time.Microsecond)
			if now != "" {
				if in.Now, err = receipt.ParseTime(now); err != nil {
					return usagef("--now: %w", err)
				}
			}
			src, err := os.ReadFile(files[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			p, err := policy.Compile(files[0], src)
			if err != nil {
				return err
			}
			return a.showExplanation(files[0], p.Explain(in))
		}}
	f := c.Flags()
	f.StringVar(&in.Tool, "tool", "", "the tool")
	f.StringVar(&args, "args", "{}", "the arguments, a JSON object")
	f.StringVar(&context, "context", "", `the context, a JSON object such as {"cwd":"/srv"}`)
	f.StringVar(&in.Agent, "agent", in.Agent, "the agent")
	f.StringVar(&in.Session, "session", in.Session, "the session")
	f.StringVar(&in.Principal, "principal", in.Principal, "who asks")
	f.StringVar(&in.Boundary, "boundary", in.Boundary, "the boundary")
	f.StringVar(&now, "now", "", "the time that rules see, as in 2026-01-02T15:04:05.000000Z; default: now")
	return c
}

func readObject(flag, text string) (strictjson.Value, error) {
	v, err := strictjson.Parse([]byte(text))
	if err == nil && v.Kind != strictjson.Object {
		err = fmt.Errorf("an object is needed, this is a JSON %s", v.Kind)
	}
	if err != nil {
		return v, usagef("%s: %w", flag, err)
	}
	return v, nil
}

func (a *app) showExplanation(file string, x policy.Explanation) error {
	if a.json {
		return a.printJSON(x)
	}
	a.printf("%s %s %s: %s\n\n", a.verdict(string(x.Result.Verdict)), safeText(x.Result.Rule), x.Result.Reason.Code, safeText(x.Result.Reason.Message))
	for _, r := range x.Rules {
		colour := faint
		if r.Value == "true" {
			colour = bold
		}
		at := ""
		if r.Line > 0 && r.When != "" {
			at = fmt.Sprintf("  %s:%d", file, r.Line)
		}
		a.printf("%s%s\n", a.paint(colour, fmt.Sprintf("%-8s %s: %s", r.Verdict, safeText(r.Rule), r.Value)), a.paint(faint, at))
		for _, read := range r.Reads {
			a.printf("           %s = %s\n", safeText(read.Expr), safeText(read.Value))
		}
	}
	for _, b := range x.Budgets {
		a.printf("%s\n", safeText(fmt.Sprintf("budget:%s: it takes %s of %s per %s in %s; %s where that is too much", b.Budget, b.Amount, b.Limit, b.Per, b.Window, b.Verdict)))
	}
	if len(x.Changes) > 0 {
		a.printf("\nIt would be milder with another value of one argument:\n")
	}
	for _, c := range x.Changes {
		to := "left out"
		if c.To != "" {
			to = "= " + c.To
		}
		a.printf("  %s %s: %s by %s\n", safeText(c.Argument), safeText(to), a.verdict(string(c.Verdict)), safeText(c.Rule))
	}
	return nil
}
