package verify_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

var update = flag.Bool("update", false, "write the examples of spec/ and spec/vectors anew")

// example holds the fenced block after a marker in a spec against what the code
// gives now.
func example(t *testing.T, file, name, want string) {
	t.Helper()
	path := filepath.Join("..", "spec", file)
	b, err := os.ReadFile(path)
	must(t, err)
	begin, end := "<!-- example "+name+" -->\n```\n", "```\n<!-- end -->"
	head, rest, ok := strings.Cut(string(b), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no example %q", file, name)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("%s: the example %q is not what the code gives; run with -update:\n%s", file, name, want)
	}
	must(t, os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644))
}

// wrap breaks long lines, for people.
func wrap(s string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		for len(line) > width {
			b.WriteString(line[:width] + "\n")
			line = line[width:]
		}
		b.WriteString(line)
	}
	return b.String()
}

func exampleLog() *packtest.Log {
	l := packtest.New("spec")
	d := l.Decide("agent.a", "s1", helm.Allow, l.Payload(`{"amount":7,"to":"acct_9"}`), nil)
	l.Decide("agent.b", "s1", helm.Deny, nil, nil)
	l.Outcome(d, helm.OutcomeOK, nil)
	l.Close("agent.a", "s1")
	l.Decide("agent.b", "s1", helm.Deny, nil, nil)
	return l
}

func TestSpecExamples(t *testing.T) {
	l := exampleLog()
	b := l.Pack(receipt.Query{Agent: "agent.a", Session: "s1"}, pack.Options{})
	p, err := pack.Open(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	var list strings.Builder
	for _, f := range p.Files {
		fmt.Fprintf(&list, "%6d  %s\n", f.Size, f.Name)
	}
	example(t, "pack.md", "pack", list.String())
	tb := open(t, b)
	env, err := receipt.ParsePackFile(tb.data[pack.PackFile])
	must(t, err)
	example(t, "pack.md", "statement", wrap(string(env.Payload)+"\n", 100))
	example(t, "pack.md", "leaf", string(tb.data[pack.Leaves][2:2+int(tb.data[pack.Leaves][0])<<8+int(tb.data[pack.Leaves][1])]))
	example(t, "pack.md", "nodes", wrap(hex.EncodeToString(tb.data[pack.Nodes])+"\n", 64))
	r := check(t, b, verify.Options{Trust: trust(t, l.Trust())})
	r.TrustFile = "trust.policy"
	example(t, "verify.md", "answer", wrap(print(r), 110))
}

// TestSpecCodes holds the list of codes against the source.
func TestSpecCodes(t *testing.T) {
	spec, err := os.ReadFile("../spec/verify.md")
	must(t, err)
	_, table, _ := strings.Cut(string(spec), "Codes, append-only:")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(table, -1) {
		listed[m[1]] = true
	}
	files, err := filepath.Glob("*.go")
	must(t, err)
	used := map[string]bool{"entry-signature": true, "entry-unreadable": true}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		must(t, err)
		for _, m := range regexp.MustCompile(`(?:(?:add|wrong)\((?:it, )?[A-Z][a-z]+,(?: (?:Wrong|OK|Info|NotProved),)? |Code: )"([a-z-]+)"`).FindAllSubmatch(src, -1) {
			used[string(m[1])] = true
		}
	}
	for c := range used {
		if !listed[c] {
			t.Errorf("spec/verify.md does not list the code %q", c)
		}
	}
	for c := range listed {
		if !used[c] {
			t.Errorf("spec/verify.md lists the code %q, which nothing gives", c)
		}
	}
}

// A vector is a pack in spec/vectors/packs and the answer that it must get.
type vector struct {
	File     string   `json:"file"`
	About    string   `json:"about"`
	Trust    string   `json:"trust"`
	Kept     string   `json:"since_checkpoint,omitempty"`
	Expect   string   `json:"expect_agent,omitempty"`
	Exit     int      `json:"exit"`
	Findings []string `json:"findings,omitempty"` // codes that are wrong or not proved; at exit 2 there are none
}

func vectors(t *testing.T) map[string]struct {
	v vector
	b []byte
} {
	l := exampleLog()
	out := map[string]struct {
		v vector
		b []byte
	}{}
	add := func(name, about string, b []byte, edit func(*vector)) {
		v := vector{File: name + ".tar", About: about, Trust: l.Trust()}
		if edit != nil {
			edit(&v)
		}
		out[name] = struct {
			v vector
			b []byte
		}{v, b}
	}
	session := receipt.Query{Agent: "agent.a", Session: "s1"}
	good := l.Pack(session, pack.Options{})
	tampered := func(q receipt.Query, sealed bool, edit func(tb *tarball)) []byte {
		tb := open(t, l.Pack(q, pack.Options{}))
		edit(tb)
		if sealed {
			tb.seal(t, l, nil)
		}
		return tb.bytes(t)
	}
	add("good-session", "one closed session", good, nil)
	add("good-all", "the whole log; the kept checkpoint is of five entries", l.Pack(everything, pack.Options{}), func(v *vector) { v.Kept = l.Checkpoint(5) })
	add("good-consistency", "with a consistency proof from a kept checkpoint", l.Pack(session, pack.Options{ConsistencyFrom: 4}), func(v *vector) { v.Kept = l.Checkpoint(4) })
	add("good-nobody", "an agent that is not in the log", l.Pack(receipt.Query{Agent: "agent.c"}, pack.Options{}), nil)
	p, err := pack.Open(bytes.NewReader(good), int64(len(good)))
	must(t, err)
	var redacted bytes.Buffer
	must(t, p.Redact(&redacted, "by a holder", "", func(_ uint64, l *receipt.Line) bool { return l.Pointer == "/arguments/to" }))
	add("good-redacted", "a holder closed one field", redacted.Bytes(), nil)
	add("unknown-signer", "nobody trusts the key", good, func(v *vector) { v.Trust = "quorum none\n" })
	add("narrower", "one session, and the whole agent was expected", good, func(v *vector) { v.Expect = "agent.a" })
	add("no-stream-key", "the stream key was left out", l.Pack(session, pack.Options{NoStreamKey: true}), nil)
	add("no-leaves", "the leaves were left out", l.Pack(session, pack.Options{NoLeaves: true}), nil)
	add("bad-rewritten", "not an extension of the kept checkpoint", l.Pack(everything, pack.Options{}), func(v *vector) {
		v.Kept = l.Resign(func(st *receipt.Statement) bool {
			if d, ok := st.Body.(*receipt.Decision); ok {
				d.Rule = "other"
			}
			return true
		}).Checkpoint(5)
	})
	add("bad-signature", "one bit of a signature is flipped", tampered(session, false, func(tb *tarball) {
		tb.entry(t, 2, func(e *receipt.Envelope) { e.Signatures[0].Sig[9] ^= 1 })
	}), nil)
	add("bad-left-out", "the operator left the outcome out and sealed the pack again", tampered(session, true, func(tb *tarball) {
		tb.lines(pack.Entries, func(l []string) []string { return slices.Delete(l, 3, 4) })
		tb.lines(pack.Payloads, func(l []string) []string { return l[:1] })
	}), nil)
	add("bad-disclosure", "a disclosed value is another one, behind a redaction", tampered(session, false, func(tb *tarball) {
		replace(pack.Payloads, "acct_9", "acct_8")(t, tb)
		tb.redact(t)
	}), nil)
	add("bad-order", "two files of the tar changed places", tampered(session, false, func(tb *tarball) {
		tb.names[0], tb.names[1] = tb.names[1], tb.names[0]
	}), nil)
	return out
}

// TestVectors holds the packs in spec/vectors/packs to their answers, and to what
// the code writes now.
func TestVectors(t *testing.T) {
	dir := filepath.Join("..", "spec", "vectors", "packs")
	list := filepath.Join(dir, "packs.json")
	made := vectors(t)
	if *update {
		var all []vector
		for _, name := range slices.Sorted(mapKeys(made)) {
			v := made[name].v
			v.Exit, v.Findings, _ = verdict(t, made[name].b, v.options(t))
			must(t, os.WriteFile(filepath.Join(dir, v.File), made[name].b, 0o644))
			all = append(all, v)
		}
		b, err := json.MarshalIndent(all, "", "  ")
		must(t, err)
		must(t, os.WriteFile(list, append(b, '\n'), 0o644))
	}
	b, err := os.ReadFile(list)
	must(t, err)
	var all []vector
	must(t, json.Unmarshal(b, &all))
	if len(all) != len(made) {
		t.Errorf("%d vectors are listed, %d are made", len(all), len(made))
	}
	for _, v := range all {
		b, err := os.ReadFile(filepath.Join(dir, v.File))
		must(t, err)
		if !bytes.Equal(b, made[strings.TrimSuffix(v.File, ".tar")].b) {
			t.Errorf("%s is not what the code writes now", v.File)
		}
		exit, codes, text := verdict(t, b, v.options(t))
		if exit != v.Exit || !slices.Equal(codes, v.Findings) {
			t.Errorf("%s: exit %d with %q, want %d with %q\n%s", v.File, exit, codes, v.Exit, v.Findings, text)
		}
		if good := strings.HasPrefix(v.File, "good-"); good != (exit == verify.ExitOK) || strings.HasPrefix(v.File, "bad-") != (exit == verify.ExitWrong || exit == verify.ExitUnreadable) {
			t.Errorf("%s: exit %d does not fit to its name", v.File, exit)
		}
	}
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (v vector) options(t *testing.T) verify.Options {
	o := verify.Options{Trust: trust(t, v.Trust)}
	if v.Kept != "" {
		o.SinceCheckpoint = []byte(v.Kept)
	}
	if v.Expect != "" {
		o.Expect = &verify.Expectation{Agent: v.Expect}
	}
	return o
}

// TestSchema holds the answer as JSON to the published schema, as far as that
// uses the language of schemas.
func TestSchema(t *testing.T) {
	b, err := os.ReadFile("../spec/verify.schema.json")
	must(t, err)
	var schema map[string]any
	must(t, json.Unmarshal(b, &schema))
	for _, a := range attacks {
		b, o := a.make(t)
		r, err := verify.Pack(bytes.NewReader(b), int64(len(b)), o)
		must(t, err)
		var v any
		must(t, json.Unmarshal(r.JSON(), &v))
		if err := conform(schema, v, "$"); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
	}
}

// conform is as much of JSON Schema as spec/verify.schema.json uses.
func conform(schema map[string]any, v any, at string) error {
	for key := range schema {
		if !slices.Contains([]string{"$schema", "$id", "title", "description", "type", "enum", "required", "properties", "additionalProperties", "items", "pattern", "minimum"}, key) {
			return fmt.Errorf("%s: this test knows no %s", at, key)
		}
	}
	ok := false
	switch v := v.(type) {
	case map[string]any:
		ok = schema["type"] == "object"
		props := schema["properties"].(map[string]any)
		for _, name := range schema["required"].([]any) {
			if _, there := v[name.(string)]; !there {
				return fmt.Errorf("%s: %s is missing", at, name)
			}
		}
		for name, member := range v {
			s, known := props[name].(map[string]any)
			if !known {
				return fmt.Errorf("%s: %s is not in the schema", at, name)
			}
			if err := conform(s, member, at+"."+name); err != nil {
				return err
			}
		}
	case []any:
		ok = schema["type"] == "array"
		for i, e := range v {
			if err := conform(schema["items"].(map[string]any), e, fmt.Sprint(at, "[", i, "]")); err != nil {
				return err
			}
		}
	case string:
		ok = schema["type"] == "string"
		if p, there := schema["pattern"]; there && !regexp.MustCompile(p.(string)).MatchString(v) {
			return fmt.Errorf("%s: %q does not match %s", at, v, p)
		}
	case float64:
		ok = schema["type"] == "integer" && v == float64(int64(v))
		if m, there := schema["minimum"]; there && v < m.(float64) {
			return fmt.Errorf("%s: %v is below %v", at, v, m)
		}
	}
	if e, there := schema["enum"]; there && !slices.Contains(e.([]any), v) {
		return fmt.Errorf("%s: %v is not one of %v", at, v, e)
	}
	if !ok {
		return fmt.Errorf("%s: %T is not of the type %v", at, v, schema["type"])
	}
	return nil
}
