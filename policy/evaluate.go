package policy

import (
	"errors"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// Evaluate says what the policy makes of a call. A rule that cannot be evaluated
// matches with DENY and RULE_ERROR. Of the rules that match, those with the
// highest verdict decide, and the first of them by id gives the reason. What the call
// takes of budgets is for the caller to hold against what they have been used.
//
// Values of the call may be strictjson.Hidden. What the result depends on of them is in
// its Hidden: where that is empty, every value in their place gives the same result.
func (p *Policy) Evaluate(in Input) Result {
	a := &activation{in: &in}
	conditions, d := p.conditionsOf(in.Tool)
	if d != nil {
		wrong, hidden := d.tool.check(in.Arguments)
		if hidden != "" {
			return Result{Verdict: helm.Deny, Hidden: []string{hidden}}
		}
		if wrong != "" {
			return Result{Verdict: helm.Deny, Rule: "tool:" + in.Tool, Reason: helm.Reason{Code: helm.ArgumentsInvalid, Message: wrong}}
		}
		a.tool = &d.tool
	}
	out := Result{Verdict: helm.Deny, Rule: "default", Reason: helm.Reason{Code: helm.DefaultDeny, Message: "no rule of the policy matches this call"}}
	for i := range conditions {
		c := &conditions[i]
		if d == nil && !c.rule.reaches(in.Tool) {
			continue
		}
		held, err := c.eval(a)
		if err == nil && !held {
			continue
		}
		verdict, reason := c.rule.verdict, c.rule.reason
		if err != nil {
			if u := (*unknownError)(nil); errors.As(err, &u) {
				out.Hidden = append(out.Hidden, u.pointers()...)
			}
			verdict, reason = helm.Deny, errorReason(c.rule, err)
		}
		if len(out.Matched) == 0 || rank(verdict) > rank(out.Verdict) {
			out.Verdict, out.Rule, out.Reason = verdict, c.rule.id, reason
		}
		out.Matched = append(out.Matched, Match{c.rule.id, verdict, reason.Code})
	}
	p.budget(&in, &out)
	out.Hidden = sorted(out.Hidden)
	return out
}

// An activation gives conditions their variables.
type activation struct {
	in   *Input
	tool *tool // nil when it is not declared

	args  ref.Val     // made when a rule asks, as is facts
	facts *factsValue // of this call
}

func (a *activation) Parent() cel.Activation { return nil }

func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "tool":
		return types.String(a.in.Tool), true
	case "agent":
		return types.String(a.in.Agent), true
	case "session":
		return types.String(a.in.Session), true
	case "principal":
		return types.String(a.in.Principal), true
	case "boundary":
		return types.String(a.in.Boundary), true
	case "context":
		if a.in.Context.Kind == strictjson.Hidden {
			return value(a.in.Context), true
		}
		return value(strictjson.Value{Kind: strictjson.Object, Members: a.in.Context.Members}), true
	case "now":
		return types.Timestamp{Time: a.in.Now.UTC()}, true
	case "lists":
		return lists, true
	case "facts":
		if a.facts == nil {
			a.facts = &factsValue{opaqueValue: opaqueValue{factsType}, tool: a.tool, in: a.in}
		}
		return a.facts, true
	case "args":
		switch {
		case a.args != nil:
		case a.tool == nil:
			a.args = value(a.in.Arguments)
		default:
			a.args = &arguments{opaqueValue{argsType(a.tool.name)}, a.in.Arguments}
		}
		return a.args, true
	}
	return nil, false
}

// lists is the variable of that name: its fields are the language's.
var lists = &listsValue{opaqueValue{listsType}}

type listsValue struct{ opaqueValue }

func (l *listsValue) Value() any { return l }
