package verify_test

import (
	"bytes"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

func check(t *testing.T, b []byte, o verify.Options) *verify.Report {
	t.Helper()
	r, err := verify.Pack(bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func print(r *verify.Report) string {
	var b bytes.Buffer
	r.Print(&b)
	return b.String()
}

func trust(t testing.TB, text string) *verify.Trust {
	t.Helper()
	tr, err := verify.ParseTrust([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestGood verifies packs of every kind of query.
func TestGood(t *testing.T) {
	l := packtest.New("good").Demo()
	at := func(i uint64) (q receipt.Query) { q.Since = l.Statement(i).Time; return q }
	since, until := at(6).Since, at(14).Since
	for name, q := range map[string]receipt.Query{
		"all":           {All: true},
		"agent":         {Agent: "agent.a"},
		"closed":        {Agent: "agent.a", Session: "s1"},
		"open":          {Agent: "agent.b", Session: "s1"},
		"nobody":        {Agent: "agent.nobody"},
		"all since":     {All: true, Since: since},
		"all until":     {All: true, Until: until},
		"agent between": {Agent: "agent.a", Since: since, Until: until},
		"none between":  {Agent: "agent.b", Session: "s1", Since: since, Until: since.Add(1000000)},
		"too late":      {Agent: "agent.a", Since: l.Statement(l.Size() - 1).Time.Add(1000000)},
		"too early":     {Agent: "agent.a", Until: l.Statement(0).Time},
	} {
		t.Run(name, func(t *testing.T) {
			b := l.Pack(q, pack.Options{})
			r := check(t, b, verify.Options{Trust: trust(t, l.Trust())})
			if r.Exit != verify.ExitOK {
				t.Errorf("exit %d:\n%s", r.Exit, print(r))
			}
			t.Log(print(r))
		})
	}
}
