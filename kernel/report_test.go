package kernel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// ended is a report by who put transfer to the kernel.
func ended(d *kernel.Decision, status helm.OutcomeStatus, result string) kernel.Report {
	r := kernel.Report{Decision: d.ID, Status: status, Duration: 1500 * time.Microsecond, Principal: "agent:pay", Boundary: "http"}
	if result != "" {
		r.Result = json.RawMessage(result)
	}
	return r
}

func reports(t testing.TB, k *kernel.Kernel, r kernel.Report) *kernel.Outcome {
	t.Helper()
	o, err := k.Report(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func refOf(t testing.TB, r kernel.Recorded) receipt.Ref {
	t.Helper()
	return receipt.Ref{ID: statement(t, r.Statement).Leaf(r.Statement).Hash(), Index: r.Index}
}

// TestOutcomes: each status, with a result and without, for each verdict, is an
// entry bound to its decision that says what was decided; a result is in it only
// as a commitment.
func TestOutcomes(t *testing.T) {
	_, k := enforcing(t)
	for verdict, amount := range map[helm.Verdict]int{helm.Allow: 1, helm.Deny: 1000001, helm.Escalate: 2000} {
		for _, status := range []helm.OutcomeStatus{helm.OutcomeOK, helm.OutcomeError, helm.OutcomeTimeout, helm.OutcomeNotExecuted} {
			for _, result := range []string{"", `null`, `"hush"`, `{}`, `{"n":9007199254740993,"text":["hush",{}]}`} {
				t.Run(fmt.Sprintf("%s/%s/%s", verdict, status, result), func(t *testing.T) {
					d, err := k.Decide(t.Context(), transfer(amount))
					if err != nil || d.Verdict != verdict {
						t.Fatalf("%+v, %v", d, err)
					}
					o := reports(t, k, ended(d, status, result))
					verifies(t, k, o.Recorded)
					want := &receipt.Outcome{Agent: "agent.pay", Session: "s1", Principal: "agent:pay", Boundary: "http", Tool: "pay.transfer",
						Decision: refOf(t, d.Recorded), Verdict: verdict, Enforced: true, Status: status, DurationMicros: 1500}
					st := statement(t, o.Statement)
					if got := st.Body.(*receipt.Outcome); !reflect.DeepEqual(got, want) || o.Decision != want.Decision || o.Conflict || o.Repeated {
						t.Fatalf("signed is %+v, answered %+v", got, o)
					}
					if result == "" {
						if st.Subject != (receipt.Subject{Name: receipt.SubjectStatement, SHA256: receipt.StatementHash(d.Statement)}) || o.Opening != (receipt.Secret{}) {
							t.Fatalf("without a result the subject is %+v", st.Subject)
						}
						return
					}
					if st.Subject != (receipt.Subject{Name: receipt.SubjectResult, SHA256: commit(t, o.Opening, parse(t, result))}) {
						t.Fatal("the opening does not open the commitment to the result")
					}
					if strings.Contains(string(o.Statement), "hush") || o.Opening == d.Opening {
						t.Fatal("the statement holds the result, or the secret is the decision's")
					}
				})
			}
		}
	}
}

// TestReportByCallID: a call_id stands for the decision that it was last decided
// by, of that principal, agent and session, and not for what was refused under it.
func TestReportByCallID(t *testing.T) {
	_, k := enforcing(t)
	c := transfer(1500)
	c.CallID = "c1"
	escalates(t, k, c)
	activate(t, k, payments(2, helm.Enforce))
	d := decides(t, k, c, helm.Allow, helm.AllowedByRule)
	other := c
	other.Arguments = json.RawMessage(`{"amount":2,"to":"acct_9"}`)
	decides(t, k, other, helm.Deny, helm.CallIDReused)
	elsewhere := c
	elsewhere.Session = "s2"
	decides(t, k, elsewhere, helm.Allow, helm.AllowedByRule)

	r := ended(d, helm.OutcomeOK, `1`)
	r.Decision, r.Agent, r.Session, r.CallID = "", c.Agent, c.Session, c.CallID
	for name, change := range map[string]func(*kernel.Report){
		"agent":     func(r *kernel.Report) { r.Agent = "agent.other" },
		"session":   func(r *kernel.Report) { r.Session = "s3" },
		"call_id":   func(r *kernel.Report) { r.CallID = "c2" },
		"principal": func(r *kernel.Report) { r.Principal = "agent:other" },
	} {
		other := r
		change(&other)
		_, err := k.Report(t.Context(), other)
		t.Run("another "+name, func(t *testing.T) { wantCode(t, err, helm.NotFound) })
	}
	o := reports(t, k, r)
	if o.Decision != refOf(t, d.Recorded) {
		t.Fatalf("the outcome is of entry %d, not %d", o.Decision.Index, d.Index)
	}
	if again := reports(t, k, ended(d, helm.OutcomeOK, `1`)); !again.Repeated || again.ID != o.ID {
		t.Fatalf("the same by its id is entry %d, not %d again", again.Index, o.Index)
	}
}

// TestReportsThatCannotBe: each is an error with a code, and records nothing.
func TestReportsThatCannotBe(t *testing.T) {
	_, k := enforcing(t)
	asked := escalates(t, k, transfer(1001))
	approval := answers(t, k, asked.ID, true)
	d := decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
	before := k.Log().Size()
	for name, c := range map[string]struct {
		change func(*kernel.Report)
		code   helm.Code
	}{
		"another principal":          {func(r *kernel.Report) { r.Principal = "agent:other" }, helm.Forbidden},
		"nobody":                     {func(r *kernel.Report) { r.Principal = helm.PrincipalNone }, helm.Forbidden},
		"an operator":                {func(r *kernel.Report) { r.Principal = "operator:o" }, helm.Forbidden},
		"another boundary":           {func(r *kernel.Report) { r.Boundary = "mcp" }, helm.Forbidden},
		"an approval":                {func(r *kernel.Report) { r.Decision = approval.ID }, helm.NotFound},
		"genesis":                    {func(r *kernel.Report) { r.Decision = "0" }, helm.NotFound},
		"the policy":                 {func(r *kernel.Report) { r.Decision = "1" }, helm.NotFound},
		"an entry to come":           {func(r *kernel.Report) { r.Decision = fmt.Sprint(before) }, helm.NotFound},
		"an unknown id":              {func(r *kernel.Report) { r.Decision = strings.Repeat("ab", 32) }, helm.NotFound},
		"an id that is none":         {func(r *kernel.Report) { r.Decision = "c1" }, helm.NotFound},
		"nothing named":              {func(r *kernel.Report) { r.Decision = "" }, helm.BadRequest},
		"no session":                 {func(r *kernel.Report) { r.Decision, r.Agent, r.CallID = "", "agent.pay", "c1" }, helm.BadRequest},
		"no status":                  {func(r *kernel.Report) { r.Status = "" }, helm.BadRequest},
		"an unknown status":          {func(r *kernel.Report) { r.Status = "OK" }, helm.BadRequest},
		"a negative duration":        {func(r *kernel.Report) { r.Duration = -1 }, helm.BadRequest},
		"a duration of ages":         {func(r *kernel.Report) { r.Duration = math.MaxInt64 }, helm.BadRequest},
		"a result cut short":         {func(r *kernel.Report) { r.Result = json.RawMessage(`{"a":`) }, helm.BadRequest},
		"an empty result":            {func(r *kernel.Report) { r.Result = json.RawMessage{} }, helm.BadRequest},
		"a duplicate key":            {func(r *kernel.Report) { r.Result = json.RawMessage(`{"a":1,"a":1}`) }, helm.BadRequest},
		"a lone surrogate":           {func(r *kernel.Report) { r.Result = json.RawMessage(`"\udfff"`) }, helm.BadRequest},
		"a result of too many bytes": {func(r *kernel.Report) { r.Result = json.RawMessage(strings.Repeat(" ", helm.MaxInputBytes) + `1`) }, helm.TooLarge},
		"a result of too many fields": {func(r *kernel.Report) {
			r.Result = json.RawMessage(`[` + strings.Repeat("1,", receipt.MaxFields) + `1]`)
		}, helm.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			r := ended(d, helm.OutcomeOK, `1`)
			c.change(&r)
			o, err := k.Report(context.Background(), r)
			wantCode(t, err, c.code)
			if o != nil || k.Log().Size() != before {
				t.Fatalf("there is an outcome %+v, and a log of %d entries", o, k.Log().Size())
			}
		})
	}
	longest := ended(d, helm.OutcomeOK, `1`)
	longest.Duration = kernel.MaxDuration
	reports(t, k, longest)
}
