package kernel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// commitment is what a caller recomputes from what it sent and the opening that it
// was given. contextJSON may be empty.
func commitment(t testing.TB, opening receipt.Secret, arguments, contextJSON string) receipt.Hash {
	t.Helper()
	var c strictjson.Value
	if contextJSON != "" {
		c = parse(t, contextJSON)
	}
	return commit(t, opening, receipt.Input(parse(t, arguments), c))
}

func commit(t testing.TB, opening receipt.Secret, v strictjson.Value) receipt.Hash {
	t.Helper()
	lines, err := receipt.Flatten(v)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Commit(&opening, lines)
}

func parse(t testing.TB, s string) strictjson.Value {
	t.Helper()
	v, err := strictjson.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestUnreadable: what cannot be read, or is no call, is an error with a code and
// no entry.
func TestUnreadable(t *testing.T) {
	_, k := enforcing(t)
	before := k.Log().Size()
	args := func(s string) func(*helm.Call) {
		return func(c *helm.Call) { c.Arguments = json.RawMessage(s) }
	}
	ctx := func(s string) func(*helm.Call) {
		return func(c *helm.Call) { c.Context = json.RawMessage(s) }
	}
	long := strings.Repeat("x", helm.MaxNameBytes+1)
	for name, c := range map[string]struct {
		change func(*helm.Call)
		code   helm.Code
	}{
		"no arguments":              {args(``), helm.BadRequest},
		"cut short":                 {args(`{"amount":1`), helm.BadRequest},
		"not JSON":                  {args(`{amount:1}`), helm.BadRequest},
		"two values":                {args(`{"amount":1}{}`), helm.BadRequest},
		"a trailing comma":          {args(`{"amount":1,}`), helm.BadRequest},
		"a duplicate key":           {args(`{"amount":1,"amount":2,"to":"a"}`), helm.BadRequest},
		"a duplicate key, escaped":  {args(`{"amount":1,"\u0061mount":2,"to":"a"}`), helm.BadRequest},
		"a duplicate key below":     {args(`{"a":[{"b":1,"b":1}]}`), helm.BadRequest},
		"a lone high surrogate":     {args(`{"to":"\ud800"}`), helm.BadRequest},
		"a lone low surrogate":      {args(`{"to":"\udc00x"}`), helm.BadRequest},
		"a lone surrogate in a key": {args(`{"\ud800":1}`), helm.BadRequest},
		"invalid UTF-8":             {args("{\"to\":\"\xff\"}"), helm.BadRequest},
		"overlong UTF-8":            {args("{\"to\":\"\xc0\xaf\"}"), helm.BadRequest},
		"a byte order mark":         {args("\ufeff{}"), helm.BadRequest},
		"a leading zero":            {args(`{"amount":01}`), helm.BadRequest},
		"not a number":              {args(`{"amount":NaN}`), helm.BadRequest},
		"a control character":       {args("{\"to\":\"a\nb\"}"), helm.BadRequest},
		"an array":                  {args(`[]`), helm.BadRequest},
		"null":                      {args(`null`), helm.BadRequest},
		"a string":                  {args(`"{}"`), helm.BadRequest},
		"a context that is none":    {ctx(`[]`), helm.BadRequest},
		"a context of null":         {ctx(`null`), helm.BadRequest},
		"a context with two cwds":   {ctx(`{"cwd":"/","cwd":"/"}`), helm.BadRequest},
		"a context of a space":      {ctx(` `), helm.BadRequest},
		"too deep":                  {args(`{"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`), helm.BadRequest},
		"too many fields":           {args(`{"a":[` + strings.Repeat("1,", receipt.MaxFields) + `1]}`), helm.TooLarge},
		"too many bytes":            {args(`{"to":"` + strings.Repeat("x", helm.MaxInputBytes) + `"}`), helm.TooLarge},
		"too many bytes together": {func(c *helm.Call) {
			c.Arguments = json.RawMessage(`{"to":"` + strings.Repeat("x", helm.MaxInputBytes/2) + `"}`)
			c.Context = c.Arguments
		}, helm.TooLarge},
		"no agent":               {func(c *helm.Call) { c.Agent = "" }, helm.BadRequest},
		"no session":             {func(c *helm.Call) { c.Session = "" }, helm.BadRequest},
		"no tool":                {func(c *helm.Call) { c.Tool = "" }, helm.BadRequest},
		"no principal":           {func(c *helm.Call) { c.Principal = "" }, helm.BadRequest},
		"no boundary":            {func(c *helm.Call) { c.Boundary = "" }, helm.BadRequest},
		"a long agent":           {func(c *helm.Call) { c.Agent = long }, helm.BadRequest},
		"a long call_id":         {func(c *helm.Call) { c.CallID = long }, helm.BadRequest},
		"a space in the session": {func(c *helm.Call) { c.Session = "s 1" }, helm.BadRequest},
		"a line feed in a tool":  {func(c *helm.Call) { c.Tool = "pay.transfer\n" }, helm.BadRequest},
		"an escape in a call_id": {func(c *helm.Call) { c.CallID = "\x1b[2J" }, helm.BadRequest},
		"an accent in an agent":  {func(c *helm.Call) { c.Agent = "agént" }, helm.BadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			call := transfer(1)
			c.change(&call)
			d, err := k.Decide(context.Background(), call)
			wantCode(t, err, c.code)
			if d != nil || k.Log().Size() != before {
				t.Fatalf("there is a decision %+v, and a log of %d entries", d, k.Log().Size())
			}
		})
	}
}

// TestLargestInput: what is exactly at the limits is decided and committed to.
func TestLargestInput(t *testing.T) {
	_, k := kernelUnder(t, compile(t, "[[rule]]\nid = \"any\"\nverdict = \"ALLOW\"\ntools = [\"t.*\"]\n", "t.big"))
	// The input, its arguments and the array have a line each, and so has every number.
	fields := receipt.MaxFields - 3
	for name, args := range map[string]string{
		"bytes":  `{"to":"` + strings.Repeat("x", helm.MaxInputBytes-len(`{"to":""}`)) + `"}`,
		"fields": `{"a":[` + strings.Repeat("1,", fields-1) + `1]}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := transfer(0)
			c.Agent = strings.Repeat("a", helm.MaxNameBytes)
			c.Tool, c.Arguments = "t.big", json.RawMessage(args)
			d := decides(t, k, c, helm.Allow, helm.AllowedByRule)
			if got := commitment(t, d.Opening, args, ""); got != statement(t, d.Statement).Subject.SHA256 {
				t.Fatal("the opening does not open the commitment")
			}
		})
	}
}

// TestNumbersAreNotRounded: two integers that are one as a float are two inputs:
// to rules, to commitments, to approvals and to call_ids.
func TestNumbersAreNotRounded(t *testing.T) {
	const even, odd = `{"n":9007199254740992}`, `{"n":9007199254740993}`
	_, k := kernelUnder(t, compile(t, `
[[tool]]
name = "t.rule"
args = { n = "int" }
[[rule]]
id = "any"
verdict = "ALLOW"
tools = ["t.*"]
[[rule]]
id = "odd"
verdict = "DENY"
reason = "ODD"
tools = ["t.rule"]
when = "args.n == 9007199254740993"
[[rule]]
id = "ask"
verdict = "ESCALATE"
reason = "PAYMENT_OVER_LIMIT"
tools = ["t.ask"]
`, "t.id", "t.ask"))
	put := func(tool, args, id string) helm.Call {
		c := transfer(0)
		c.Tool, c.Arguments, c.CallID = tool, json.RawMessage(args), id
		return c
	}
	decides(t, k, put("t.rule", even, ""), helm.Allow, helm.AllowedByRule)
	decides(t, k, put("t.rule", odd, ""), helm.Deny, "ODD")

	d := decides(t, k, put("t.id", even, "c1"), helm.Allow, helm.AllowedByRule)
	subject := statement(t, d.Statement).Subject.SHA256
	if commitment(t, d.Opening, even, "") != subject || commitment(t, d.Opening, odd, "") == subject {
		t.Fatal("the commitment does not tell the two apart")
	}
	decides(t, k, put("t.id", odd, "c1"), helm.Deny, helm.CallIDReused)

	asked := escalates(t, k, put("t.ask", even, ""))
	answers(t, k, asked.ID, true)
	escalates(t, k, put("t.ask", odd, ""))
	allowedBy(t, k, put("t.ask", even, ""), asked)

	// Digits are kept: another writing of the same number is another input.
	for i, other := range []string{`{"n":1.0}`, `{"n":1e0}`, `{"n":10e-1}`} {
		id := fmt.Sprintf("d%d", i)
		decides(t, k, put("t.id", `{"n":1}`, id), helm.Allow, helm.AllowedByRule)
		decides(t, k, put("t.id", other, id), helm.Deny, helm.CallIDReused)
	}
}
