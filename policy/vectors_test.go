package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

var freeze = flag.Bool("freeze", false, "give results to the vectors that have none; never changes one that has")

// A vector is a call under a policy of testdata/vectors, and the decision on it.
type vector struct {
	Policy    string          `json:"policy"`
	Agent     string          `json:"agent"`
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Context   json.RawMessage `json:"context,omitempty"`
	Now       time.Time       `json:"now"`
	Result    string          `json:"result,omitempty"` // verdict, rule, code, message, and every match
}

// The frozen vectors guard what helm.policy/v1 means: a result that changes is a
// new format, and never a new vector in the place of an old one.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors/vectors.jsonl"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	policies := map[string]*Policy{}
	var out bytes.Buffer
	for n, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		var v vector
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		p := policies[v.Policy]
		if p == nil {
			src, err := os.ReadFile("testdata/vectors/" + v.Policy + ".toml")
			if err != nil {
				t.Fatal(err)
			}
			if p, err = Compile(v.Policy+".toml", src); err != nil {
				t.Fatal(err)
			}
			policies[v.Policy] = p
		}
		in := Input{Agent: v.Agent, Session: "s", Tool: v.Tool, Principal: "none", Boundary: "http", Now: v.Now}
		if in.Arguments, err = strictjson.Parse(v.Arguments); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		if v.Context != nil {
			if in.Context, err = strictjson.Parse(v.Context); err != nil {
				t.Fatalf("line %d: %v", n+1, err)
			}
		}
		got := exactly(p.Evaluate(in))
		if *freeze && v.Result == "" {
			v.Result = got
		}
		if v.Result != got {
			t.Errorf("line %d: %s %s: %s, and it was %s", n+1, v.Tool, v.Arguments, got, v.Result)
		}
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if *freeze {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func exactly(r Result) string {
	out := string(r.Verdict) + " " + r.Rule + " " + string(r.Reason.Code) + " " + r.Reason.Message
	for _, m := range r.Matched {
		out += " [" + m.Rule + " " + string(m.Verdict) + " " + string(m.Code) + "]"
	}
	return out
}
