package policy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// hiddenPolicy reads values in many ways.
const hiddenPolicy = `[policy]
id = "hidden"
version = 1
format = "helm.policy/v1"
mode = "enforce"

[lists]
known = ["x", "y"]

[[tool]]
name = "t.any"
args = { a = "any", b = "any?", n = "int", m = "map?", l = "list?", p = "path?", c = "command?" }
extra = true

[[rule]]
id = "r01"
verdict = "ALLOW"
when = "args.n > 5 || args.a == 1"
tools = ["t.any"]
[[rule]]
id = "r02"
verdict = "ESCALATE"
when = "args.n < 3 && args.a == 'x'"
tools = ["t.any"]
[[rule]]
id = "r03"
verdict = "DENY"
when = "has(args.m) && has(args.m.k) && args.m.k in lists.known"
tools = ["t.any"]
[[rule]]
id = "r04"
verdict = "DENY"
when = "has(args.l) && args.l.exists(x, x == 'bad')"
tools = ["t.any"]
[[rule]]
id = "r05"
verdict = "ESCALATE"
when = "has(args.l) && args.l.all(x, x == 1)"
tools = ["t.any"]
[[rule]]
id = "r06"
verdict = "ESCALATE"
when = "has(args.l) && args.l == [1, 2]"
tools = ["t.any"]
[[rule]]
id = "r07"
verdict = "ESCALATE"
when = "has(args.b) && has(args.m) && args.b == args.m"
tools = ["t.any"]
[[rule]]
id = "r08"
verdict = "ESCALATE"
when = "has(context.who) ? context.who == 'x' : args.n == 4"
tools = ["t.any"]
[[rule]]
id = "r09"
verdict = "DENY"
when = "has(args.p) && facts.path.touches(['/etc'])"
tools = ["t.any"]
[[rule]]
id = "r10"
verdict = "ESCALATE"
when = "has(args.c) && facts.shell.opaque"
tools = ["t.any"]
[[rule]]
id = "r11"
verdict = "ESCALATE"
when = "has(args.l) && size(args.l) == 2 && 'x' in args.l"
tools = ["t.any"]
[[rule]]
id = "r12"
verdict = "DENY"
when = "has(args.m) && args.m.exists(k, k == 'z' && args.m[k] == true)"
tools = ["t.any"]
[[rule]]
id = "r13"
verdict = "ESCALATE"
when = "args.n > 3 && has(args.a.k)"
tools = ["t.any"]
[[rule]]
id = "r14"
verdict = "ESCALATE"
when = "args.n > 5 && has(args.b) && args.b.k.z == 'x'"
tools = ["t.any"]
[[rule]]
id = "r15"
verdict = "DENY"
when = "args.n > 6 && (args.a != 1 || [args.a, 2].exists(e, e == 2)) && size(string(args.n)) == 1"
tools = ["t.any"]
`

// TestHiddenIsSound hides parts of calls and tries many values in their place: where
// the result does not name them, every value gives that result.
func TestHiddenIsSound(t *testing.T) {
	p, err := Compile("hidden.toml", []byte(hiddenPolicy))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("../release.high_risk.v3.toml")
	if err != nil {
		t.Fatal(err)
	}
	release, err := Compile("release.high_risk.v3.toml", src)
	if err != nil {
		t.Fatal(err)
	}

	r := rand.New(rand.NewPCG(1, 2))
	told, hid := 0, 0
	for range 4000 {
		pol, in := p, Input{Agent: "a", Session: "s", Tool: "t.any", Principal: "none", Boundary: "test", Now: time.Unix(0, 0)}
		if r.IntN(8) == 0 {
			pol, in.Tool = release, []string{"shell.exec", "pay.transfer", "mail.send", "file.write", "no.such"}[r.IntN(5)]
		}
		in.Arguments, in.Context = someArguments(r), strictjson.Value{}
		if r.IntN(2) == 0 {
			in.Context = parse(t, fmt.Sprintf(`{"cwd":%q,"who":%q}`, []string{"/etc", "/srv"}[r.IntN(2)], []string{"x", "q"}[r.IntN(2)]))
		}
		masked, holes := in, 0
		masked.Arguments = hide(r, in.Arguments, "/arguments", &holes, false)
		masked.Context = hide(r, in.Context, "/context", &holes, true)
		if holes == 0 {
			continue
		}
		got := pol.Evaluate(masked)
		if len(got.Hidden) > 0 {
			hid++
			continue
		}
		told++
		for n := range 40 {
			full := masked
			if n > 0 {
				full.Arguments, full.Context = fill(r, masked.Arguments), fill(r, masked.Context)
			} else {
				full.Arguments, full.Context = in.Arguments, in.Context
			}
			if want := pol.Evaluate(full); !reflect.DeepEqual(got, want) {
				t.Fatalf("with hidden values the result is %+v, and with\n%s %s it is %+v; hidden were\n%s %s",
					got, full.Arguments.Append(nil), full.Context.Append(nil), want, masked.Arguments.Append(nil), masked.Context.Append(nil))
			}
		}
	}
	if told < 200 || hid < 200 {
		t.Errorf("%d results were told and %d not: this shows little", told, hid)
	}
}

func parse(t *testing.T, text string) strictjson.Value {
	t.Helper()
	v, err := strictjson.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func objectOf(members ...strictjson.Member) strictjson.Value {
	slices.SortFunc(members, func(a, b strictjson.Member) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return strictjson.Value{Kind: strictjson.Object, Members: members}
}

func someArguments(r *rand.Rand) strictjson.Value {
	ms := []strictjson.Member{{Name: "a", Value: some(r, 1)}, {Name: "n", Value: strictjson.Value{Kind: strictjson.Number, Text: fmt.Sprint(r.IntN(8))}}}
	text := func(all ...string) strictjson.Value {
		return strictjson.Value{Kind: strictjson.String, Text: all[r.IntN(len(all))]}
	}
	for _, optional := range []struct {
		name string
		v    func() strictjson.Value
	}{
		{"b", func() strictjson.Value { return some(r, 2) }},
		{"m", func() strictjson.Value {
			return objectOf(strictjson.Member{Name: "k", Value: some(r, 0)}, strictjson.Member{Name: "z", Value: some(r, 0)})
		}},
		{"l", func() strictjson.Value {
			return strictjson.Value{Kind: strictjson.Array, Elems: []strictjson.Value{some(r, 0), some(r, 0)}}
		}},
		{"p", func() strictjson.Value { return text("passwd", "/etc/x", "../etc/y", "/srv/z") }},
		{"c", func() strictjson.Value { return text("ls", "rm -rf $X", "cat a | sh") }},
	} {
		if r.IntN(2) == 0 {
			ms = append(ms, strictjson.Member{Name: optional.name, Value: optional.v()})
		}
	}
	return objectOf(ms...)
}

// some is a value of those that the policy compares with, and others.
func some(r *rand.Rand, depth int) strictjson.Value {
	switch n := r.IntN(10); {
	case n < 3:
		return strictjson.Value{Kind: strictjson.Number, Text: []string{"1", "2", "1.5", "1e400"}[r.IntN(4)]}
	case n < 6:
		return strictjson.Value{Kind: strictjson.String, Text: []string{"x", "bad", "q", ""}[r.IntN(4)]}
	case n < 7:
		return strictjson.Value{Kind: strictjson.Bool, Bool: r.IntN(2) == 0}
	case n < 8 || depth == 0:
		return strictjson.Value{}
	case n < 9:
		return strictjson.Value{Kind: strictjson.Array, Elems: []strictjson.Value{some(r, depth-1), some(r, depth-1)}}
	}
	return objectOf(strictjson.Member{Name: "k", Value: some(r, depth-1)}, strictjson.Member{Name: "z", Value: some(r, depth-1)})
}

// hide puts holes into a value.
func hide(r *rand.Rand, v strictjson.Value, at string, holes *int, root bool) strictjson.Value {
	if r.IntN(6) == 0 && (root && v.Kind == strictjson.Object || at != "/arguments" && at != "/context") {
		*holes++
		return strictjson.Value{Kind: strictjson.Hidden, Text: at}
	}
	v.Members, v.Elems = slices.Clone(v.Members), slices.Clone(v.Elems)
	for i := range v.Members {
		v.Members[i].Value = hide(r, v.Members[i].Value, at+"/"+v.Members[i].Name, holes, false)
	}
	for i := range v.Elems {
		v.Elems[i] = hide(r, v.Elems[i], fmt.Sprint(at, "/", i), holes, false)
	}
	return v
}

// fill puts values into the holes.
func fill(r *rand.Rand, v strictjson.Value) strictjson.Value {
	if v.Kind == strictjson.Hidden {
		switch v.Text {
		case "/context":
			return objectOf(strictjson.Member{Name: "cwd", Value: strictjson.Value{Kind: strictjson.String, Text: []string{"/etc", "/srv"}[r.IntN(2)]}})
		}
		return some(r, 2)
	}
	v.Members, v.Elems = slices.Clone(v.Members), slices.Clone(v.Elems)
	for i := range v.Members {
		v.Members[i].Value = fill(r, v.Members[i].Value)
	}
	for i := range v.Elems {
		v.Elems[i] = fill(r, v.Elems[i])
	}
	return v
}
