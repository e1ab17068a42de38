package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

const decl = `[lists]
egress = ["api.github.com"]
[[tool]]
name = "pay.transfer"
args = { amount = "int", to = "string", memo = "string?", tags = "list?", meta = "map?", x = "any?" }
[[tool]]
name = "fs.read"
args = { path = "path", url = "url?" }
`

func ruleWith(lines ...string) string {
	return decl + "[[rule]]\nid = \"r\"\nverdict = \"ALLOW\"\ntools = [\"pay.transfer\"]\n" + strings.Join(lines, "\n") + "\n"
}

func when(condition string) string { return ruleWith("when = '''" + condition + "'''") }

// Each row is a file that must be refused, and a part of what must be said.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"unknown key", head + ruleWith(`wen = "true"`), `the key "wen" is not known here; did you mean "when"?`},
		{"unknown key of the header", strings.Replace(head, "version", "versoin", 1), `the key "versoin" is not known here; did you mean "version"?`},
		{"unknown table", head + "[[rules]]\nid = \"x\"\n", `the key "rules" is not known here; did you mean "rule"?`},
		{"default is no key", head + "[default]\nverdict = \"ALLOW\"\n", `the key "default" is not known here`},
		{"no header", "", "there is no [policy]"},
		{"no format", strings.Replace(head, "format", "#", 1), "format is missing here"},
		{"another format", strings.Replace(head, "/v1", "/v2", 1), `the format "helm.policy/v2" is not known; did you mean "helm.policy/v1"?`},
		{"version 0", strings.Replace(head, "1\n", "0\n", 1), "version must be an integer from 1"},
		{"version -1", strings.Replace(head, "1\n", "-1\n", 1), "version must be an integer from 1"},
		{"version 1.5", strings.Replace(head, "1\n", "1.5\n", 1), "version must be an integer from 1"},
		{"id with a space", strings.Replace(head, `"test"`, `"a test"`, 1), "id has the byte 0x20"},
		{"mode", head + `mode = "shadwo"`, `the mode is "shadwo": it must be enforce or shadow; did you mean "shadow"?`},
		{"duplicate TOML key", head + `id = "again"`, "test.toml:5:"},
		{"no TOML", "x = ", "test.toml:1:4:"},
		{"invalid UTF-8", head + "# \xff", "not valid UTF-8"},
		{"too large", head + "#" + strings.Repeat("x", MaxFileBytes), "too large"},

		{"verdict", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"DENNY\"\ntools = [\"*\"]\n", `the verdict is "DENNY": it must be ALLOW, DENY or ESCALATE; did you mean "DENY"?`},
		{"verdict in lower case", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"deny\"\ntools = [\"*\"]\n", `did you mean "DENY"?`},
		{"no verdict", head + decl + "[[rule]]\nid = \"r\"\ntools = [\"*\"]\n", "test.toml:13:3: verdict is missing here"},
		{"no tools", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"DENY\"\n", "tools is missing here"},
		{"empty tools", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"DENY\"\ntools = []\n", "a rule without tools decides nothing"},
		{"tools is a string", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"DENY\"\ntools = \"*\"\n", "tools must be an array of strings, this is a string"},
		{"tool", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"DENY\"\ntools = [\"pay.tranfser\"]\n", `no [[tool]] that is declared is named "pay.tranfser"; did you mean "pay.transfer"?`},
		{"pattern", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"DENY\"\ntools = [\"mail.*\"]\n", `is named "mail.*"`},
		{"duplicate rule", head + ruleWith() + "[[rule]]\nid = \"r\"\nverdict = \"DENY\"\ntools = [\"*\"]\n", `the [[rule]] id "r" is already on line 14`},
		{"duplicate tool", head + decl + "[[tool]]\nname = \"fs.read\"\n", `the [[tool]] name "fs.read" is already on line`},
		{"id default", head + decl + "[[rule]]\nid = \"default\"\nverdict = \"DENY\"\ntools = [\"*\"]\n", `the id "default" is the kernel's own`},
		{"id with a colon", head + decl + "[[rule]]\nid = \"tool:x\"\nverdict = \"DENY\"\ntools = [\"*\"]\n", `the id "tool:x" is the kernel's own`},
		{"reserved reason", head + ruleWith(`reason = "APPROVED"`), "the reason APPROVED is the kernel's own"},
		{"reason in lower case", head + ruleWith(`reason = "fine"`), `the reason "fine" is no code`},
		{"long message", head + ruleWith(`message = "`+strings.Repeat("x", 301)+`"`), "the message has 301 bytes"},
		{"approvers of an ALLOW", head + ruleWith(`approvers = { expires = "1m" }`), "approvers belong to a rule whose verdict is ESCALATE"},
		{"expires", head + ruleWith(`approvers = { expires = "0s" }`), `expires is "0s": it must be a duration`},
		{"expires in years", head + ruleWith(`approvers = { expires = "8760h" }`), "from 1s to 720h"},
		{"type", head + "[[tool]]\nname = \"x\"\nargs = { a = \"strin\" }\n", `"strin" is not a type of an argument; did you mean "string"?`},
		{"tool with a star", head + "[[tool]]\nname = \"x*\"\n", "a tool is declared by its full name"},
		{"tool of 196 bytes", head + "[[tool]]\nname = \"" + strings.Repeat("x", 196) + "\"\n", "the tool's name has 196 bytes"},
		{"list of numbers", head + "[lists]\nx = [1]\n", "x must be an array of non-empty strings, this is an integer"},
		{"list's name", head + "[lists]\n\"x-y\" = []\n", `the list's name "x-y" cannot be written`},

		{"argument", head + when(`args.amonut > 1`), `the declaration of pay.transfer has no "amonut"; did you mean "amount"?`},
		{"argument of another tool", head + when(`args.path == "x"`), `the declaration of pay.transfer has no "path"`},
		{"list", head + when(`args.to in lists.egres`), `[lists] has no "egres"; did you mean "egress"?`},
		{"variable", head + when(`agnet == "x"`), `"agnet" is not known; did you mean "agent"?`},
		{"function", head + when(`args.to.startWith("x")`), `"startWith" is not known; did you mean "startsWith"?`},
		{"fact", head + when(`facts.pth.opaque`), `facts has no "pth"; did you mean "path"?`},
		{"type of a comparison", head + when(`args.amount == "1"`), "found no matching overload for '_==_' applied to '(int, string)'"},
		{"not a bool", head + when(`args.amount`), "a condition must be a bool, this is int"},
		{"syntax", head + when(`args.amount >`), "Syntax error"},
		{"empty", head + ruleWith(`when = ""`), "when is empty"},
		{"always false", head + when(`args.amount > 1 && false`), "always false"},
		{"always false by arithmetic", head + when(`1 > 2`), "always false"},
		{"map literal", head + when(`{"a": 1}.exists(k, k == "a")`), "a condition cannot make a map"},
		{"message", head + when(`google.protobuf.Struct{} == args.meta`), `"google.protobuf.Struct" is not known`},
		{"pattern from the call", head + when(`args.to.matches(args.memo)`), "must be written out"},
		{"bad pattern", head + when(`args.to.matches("(")`), "test.toml:17:27: invalid matches argument"},
		{"large pattern", head + when(`args.to.matches("(a{1000}){1000}")`), "test.toml:17:27: invalid matches argument"},
		{"clock", head + when(`now.getHours("Europe/Paris") > 8`), "found no matching overload for 'getHours'"},
		{"dyn", head + when(`dyn(args.to) == 1`), `"dyn" is not known`},
		{"type()", head + when(`type(args.to) == string`), `"type" is not known`},
		{"bytes", head + when(`bytes(args.to) == b"x"`), `"bytes" is not known`},
		{"fact without argument", head + when(`facts.shell.only("ls")`), "facts.shell is opaque in every call: the tool pay.transfer has no argument of the type command"},
		{"half a fact", head + decl + "[[rule]]\nid = \"r\"\nverdict = \"ALLOW\"\ntools = [\"fs.read\"]\nwhen = 'facts.path.list.all(p, p.startsWith(\"/srv\"))'\n", "add !facts.path.opaque"},
		{"buried", head + ruleWith() + "[[rule]]\nid = \"d\"\nverdict = \"DENY\"\ntools = [\"pay.*\"]\n", `the rule never decides: the rule "d" always gives DENY for its tools`},

		{"nested loops", head + when(`args.tags.all(a, args.tags.all(b, args.tags.all(c, a == b && b == c)))`), "the condition may cost"},
		{"loops over dyn", head + when(`args.x.all(a, args.x.all(b, args.x.exists(c, a == c || b == c)))`), "the condition may cost"},
		{"loops over a literal", head + when("[1,2,3,4,5,6,7,8,9].all(a, "+strings.Repeat("[1,2,3,4,5,6,7,8,9].all(b, ", 8)+"args.amount > a"+strings.Repeat(")", 9)), "the condition may cost"},
		{"deep", head + when(strings.Repeat("(", 200)+"true"+strings.Repeat(")", 200)), "expression recursion limit exceeded"},
		{"long", head + when(strings.Repeat("true || ", 600)+"true"), "the condition has 4804 bytes"},

		{"failing test", head + ruleWith() + "[[test]]\nname = \"no\"\ncall = { tool = \"pay.transfer\", args = { amount = 1, to = \"x\" } }\nexpect = { verdict = \"DENY\" }\n",
			`the test "no" fails: expected DENY, got ALLOW by r (ALLOWED_BY_RULE: the rule r allows it)`},
		{"test of a rule that is none", head + ruleWith() + "[[test]]\nname = \"no\"\ncall = { tool = \"pay.transfer\" }\nexpect = { verdict = \"DENY\", rule = \"rr\" }\n", `the test "no" fails: expected DENY by rr`},
		{"test with a date", head + ruleWith() + "[[test]]\nname = \"no\"\ncall = { tool = \"pay.transfer\", args = { to = 2026-01-01 } }\nexpect = { verdict = \"DENY\" }\n", "a call's JSON cannot hold a date or a time"},
		{"test without expect", head + ruleWith() + "[[test]]\nname = \"no\"\ncall = { tool = \"pay.transfer\" }\n", "expect is missing here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Compile("test.toml", []byte(c.src))
			var all *Error
			if !errors.As(err, &all) || len(all.Findings) == 0 {
				t.Fatalf("it was not refused: %v", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("it says:\n%s\nand not: %s", err, c.want)
			}
			for _, f := range all.Findings {
				if f.Line < 1 || f.Column < 1 {
					t.Errorf("no place: %+v", f)
				}
			}
		})
	}
}

// Several faults are told at once, each with its line and a caret.
func TestFindings(t *testing.T) {
	_, err := Compile("p.toml", []byte(`[policy]
id = "x"
version = 1
format = "helm.policy/v1"
[[tool]]
name = "t"
args = { amount = "int" }
[[rule]]
id = "a"
verdict = "ALOW"
tools = ["t"]
when = """
	args.amonut > 5 &&
  unknwn == "ü" && args.amuont > 1"""
[[rule]]
id = "b"
verdict = "DENY"
tools = ["t"]
when = "\u0061rgs.amonut > 5"
`))
	const want = `p.toml:10:11: the verdict is "ALOW": it must be ALLOW, DENY or ESCALATE; did you mean "ALLOW"?
  | verdict = "ALOW"
  |           ^
p.toml:13:7: the declaration of t has no "amonut"; did you mean "amount"?
  | 	args.amonut > 5 &&
  | 	     ^
p.toml:14:3: "unknwn" is not known
  |   unknwn == "ü" && args.amuont > 1"""
  |   ^
p.toml:14:25: the declaration of t has no "amuont"; did you mean "amount"?
  |   unknwn == "ü" && args.amuont > 1"""
  |                         ^
p.toml:19:8: the declaration of t has no "amonut"; did you mean "amount"?
  | when = "\u0061rgs.amonut > 5"
  |        ^`
	if err == nil || err.Error() != want {
		t.Errorf("it says:\n%v", err)
	}
}

func TestExcerptIsPrintable(t *testing.T) {
	_, err := Compile("p.toml", []byte(head+"x = \"\u202e\u009b31m\" # \x7f"))
	if err == nil || strings.ContainsAny(err.Error(), "\u202e\u009b\x7f\x1b") {
		t.Errorf("%q", err)
	}
}

func TestPolicy(t *testing.T) {
	src := []byte(head + "mode = \"shadow\"\n" + decl + `
[[rule]]
id = "ask"
verdict = "ESCALATE"
tools = ["pay.*"]
approvers = { expires = "30m" }
[[rule]]
id = "ask-soon"
verdict = "ESCALATE"
tools = ["fs.read"]
`)
	p, err := Compile("p.toml", src)
	if err != nil {
		t.Fatal(err)
	}
	if p.ID() != "test" || p.Version() != 1 || p.Mode() != helm.Shadow || string(p.Source()) != string(src) {
		t.Error("the header is another")
	}
	if got := fmt.Sprint(p.Expires("ask"), p.Expires("ask-soon")); got != "30m0s 15m0s" {
		t.Error(got)
	}
	src[0] = 'x'
	if p.Source()[0] != '[' || p.Expires("?") != 15*time.Minute {
		t.Error("the policy changes with the caller's bytes")
	}
	if err := helm.CheckName("engine", Engine); err != nil {
		t.Error(err)
	}
}

func TestTest(t *testing.T) {
	src := head + ruleWith(`when = "args.amount < 10"`) + `
[[test]]
name = "good"
call = { tool = "pay.transfer", args = { amount = 9, to = "x" } }
expect = { verdict = "ALLOW", rule = "r", reason = "ALLOWED_BY_RULE" }
[[test]]
name = "bad"
call = { tool = "pay.transfer", args = { amount = 10, to = "x" } }
expect = { verdict = "ALLOW" }
`
	results, _, err := Test("p.toml", []byte(src))
	if err != nil || len(results) != 2 {
		t.Fatal(results, err)
	}
	if !results[0].OK || results[1].OK || results[1].Line != 23 || !strings.Contains(results[1].Message, "expected ALLOW, got DENY by default") {
		t.Errorf("%+v", results)
	}
	if _, err := Compile("p.toml", []byte(src)); err == nil {
		t.Error("a file whose test fails is used")
	}
	if _, _, err := Test("p.toml", []byte("x")); err == nil {
		t.Error("a file that is none is tested")
	}
}

func TestTools(t *testing.T) {
	p := mustCompile(t, "[[tool]]\nname = \"a.x\"\n[[tool]]\nname = \"b.y\"\n[[tool]]\nname = \"c.z\"\n"+aRule("one", "ALLOW", "b.y", "")+aRule("two", "ESCALATE", "a.*", "")+aRule("three", "DENY", "c.z", "")+aRule("four", "ALLOW", "b.y", ""))
	if got := fmt.Sprint(p.Tools()); got != "[a.* b.y]" {
		t.Error(got)
	}
	if got := mustCompile(t, "").Tools(); got == nil || len(got) > 0 {
		t.Error("of a policy without rules", got)
	}
}
