package policy

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unicode/utf8"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// FuzzCompile: any file is a policy or is refused with findings that have places.
func FuzzCompile(f *testing.F) {
	for _, pattern := range []string{"../policies/*.toml", "testdata/vectors/*.toml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := Compile("f", src)
		if err == nil {
			if again, err := Compile("f", p.Source()); err != nil || again.SHA256() != p.SHA256() {
				t.Fatal("it loads once and not twice", err)
			}
			return
		}
		var all *Error
		if !errors.As(err, &all) || len(all.Findings) == 0 || len(all.Findings) > maxFindings {
			t.Fatalf("no findings: %v", err)
		}
		for _, one := range all.Findings {
			if one.Line < 1 || one.Column < 1 || one.Message == "" || !utf8.ValidString(one.Excerpt) {
				t.Fatalf("%+v", one)
			}
		}
	})
}

// FuzzEvaluate: any call gets a decision, the same each time, that a receipt can
// hold.
func FuzzEvaluate(f *testing.F) {
	var policies []*Policy
	for _, file := range []string{"testdata/vectors/numbers.toml", "testdata/vectors/facts.toml", "../policies/shadow.toml"} {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		p, err := Compile(file, src)
		if err != nil {
			f.Fatal(err)
		}
		policies = append(policies, p)
	}
	f.Add("n.any", `{"v":{"a":[1e400]},"w":{}}`, `{}`)
	f.Add("sh.exec", `{"command":"ls; env sh -c 'rm x' > out"}`, `{"cwd":"/srv/app"}`)
	f.Add("fs.copy", `{"from":"../../etc/passwd","to":"~x"}`, `{"cwd":"srv"}`)
	f.Add("http.get", `{"url":"http://a@0x7f.1:99999/%2e%2e"}`, ``)
	f.Fuzz(func(t *testing.T, tool, args, context string) {
		in := Input{Agent: "a", Session: "s", Tool: tool, Principal: "none", Boundary: "b", Now: testNow}
		var err error
		if in.Arguments, err = strictjson.Parse([]byte(args)); err != nil || in.Arguments.Kind != strictjson.Object || helm.CheckName("tool", tool) != nil {
			return
		}
		if in.Context, err = strictjson.Parse([]byte(context)); err != nil || in.Context.Kind != strictjson.Object {
			in.Context = strictjson.Value{}
		}
		for _, p := range policies {
			r := p.Evaluate(in)
			if err := helm.CheckName("rule", r.Rule); err != nil || !r.Verdict.Valid() || !r.Reason.Code.Valid() || !utf8.ValidString(r.Reason.Message) || len(r.Reason.Message) > 1000 {
				t.Fatalf("%+v %v", r, err)
			}
			if !reflect.DeepEqual(r, p.Evaluate(in)) {
				t.Fatalf("two results for one call: %+v", r)
			}
		}
	})
}
