package deptest

import (
	"slices"
	"strings"
	"testing"
)

// world is a small module that breaks no rule, to break one at a time.
func world() graph {
	g := graph{}
	add := func(path string, imports ...string) {
		std := !strings.Contains(path, ".")
		if strings.HasPrefix(path, "./") || path == "." {
			path, std = module+strings.TrimPrefix(path, "."), false
		}
		for i, to := range imports {
			if strings.HasPrefix(to, "./") || to == "." {
				imports[i] = module + strings.TrimPrefix(to, ".")
			}
		}
		g[path] = &pkg{ImportPath: path, Standard: std, Imports: imports}
	}
	add(".", "fmt")
	add("./receipt", ".", "golang.org/x/mod/sumdb/note")
	add("./pack", "./receipt", "os")
	add("./verify", "./pack", "fmt")
	add("./cmd/helm-verify", "./verify", "os")
	add("./facts", "mvdan.cc/sh/v3/syntax")
	add("./policy", "./facts", "cel.dev/cel-go/cel")
	add("./ledger", "./receipt")
	add("./ledger/sqlite", "./ledger", "modernc.org/sqlite")
	add("./ledger/storetest", "./ledger", "testing")
	add("./kernel", "./ledger", "./policy")
	add("./boundary/httpapi", "./kernel", "net/http")
	add("./boundary/mcp", "./kernel")
	add("./internal/cli", "./boundary/httpapi", "./ledger/sqlite", "github.com/spf13/cobra")
	add("./cmd/helm-ai-kernel", "./internal/cli")
	for _, std := range []string{"fmt", "os", "net/http", "testing"} {
		add(std)
	}
	for _, p := range []string{"golang.org/x/mod/sumdb/note", "cel.dev/cel-go/cel", "mvdan.cc/sh/v3/syntax", "modernc.org/sqlite", "github.com/spf13/cobra"} {
		add(p)
		g[p].Standard = false
	}
	return g
}

// TestBreaches holds that the rules can be broken: each row is an import that a
// hurried change could bring, and the reason that must be given.
func TestBreaches(t *testing.T) {
	if got := world().breaches(bans, onlys, siblings); len(got) != 0 {
		t.Fatalf("an innocent module breaks rules:\n%s", strings.Join(got, "\n"))
	}
	for _, test := range []struct{ from, to, because string }{
		{".", "golang.org/x/mod/sumdb/note", "cost nobody a dependency"},
		{"./receipt", "os", "they are pure"},
		{"./receipt", "net/http", "takes nothing from the program that it checks"}, // through pack, in verify
		{"./policy", "math/rand/v2", "they are pure"},
		{"./policy", "os/exec", "they are pure"},
		{"./verify", "./policy", "takes nothing from the program"},
		{"./pack", "./ledger", "takes nothing from the program"},
		{"./pack", "database/sql", "takes nothing from the program"},
		{"./verify", "github.com/spf13/cobra", "one more thing to trust"},
		{"./pack", "cel.dev/cel-go/cel", "one profile, one cost bound"},
		{"./kernel", "cel.dev/cel-go/common/types", "one profile, one cost bound"},
		{"./policy", "mvdan.cc/sh/v3/expand", "a way round the rules"},
		{"./internal/cli", "modernc.org/sqlite", "behind the ledger"},
		{"./ledger/sqlite", "github.com/jackc/pgx/v5", "behind the ledger"},
		{"./kernel", "database/sql", "through a ledger.Store"},
		{"./ledger", "./ledger/sqlite", "declare the interfaces"},
		{"./policy", "./boundary/mcp", "declare the interfaces"}, // through policy, in kernel
		{"./boundary/mcp", "./ledger/sqlite", "wires everything"},
		{"./boundary/mcp", "./boundary/httpapi", "read, changed and left out alone"},
		{"./ledger/sqlite", "./ledger/storetest", "stands alone"},
		{"./boundary/httpapi", "github.com/spf13/pflag", "read in internal/cli"},
		{"./internal/cli", "./ledger/storetest", "forge a log"},
	} {
		g := world()
		to := test.to
		if rest, ok := strings.CutPrefix(to, "./"); ok {
			to = module + "/" + rest
		}
		from := g[module+strings.TrimPrefix(test.from, ".")]
		from.Imports = append(from.Imports, to)
		got := g.breaches(bans, onlys, siblings)
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, test.because) && strings.Contains(s, to) }) {
			t.Errorf("%s imports %s: not refused because %q, only:\n%s", test.from, test.to, test.because, strings.Join(got, "\n"))
		}
	}
}

func TestImpurities(t *testing.T) {
	for _, test := range []struct{ code, want string }{
		{`import "time"; var x = time.Now()`, "time.Now"},
		{`import "time"; var x = time.Now`, "time.Now"}, // as a value too
		{`import clock "time"; var x = clock.Since(clock.Time{})`, "time.Since"},
		{`import . "time"; var x = Now()`, "could not be seen"},
		{`import "time"; var x = time.Unix(0, 0).In(time.Local)`, "time.Local"},
		{`func f() { go f() }`, "go statement"},
		{`import "crypto/rand"; var x = rand.Reader`, "crypto/rand.Reader"},
		{`import "time"; var x = time.Unix(0, 0).UTC()`, ""},
		{`type c struct{ Now int }; func f(time c) int { return time.Now }`, ""}, // no import: a variable
	} {
		got, err := impurities("f.go", []byte("package p\n"+test.code))
		if err != nil {
			t.Errorf("%s: %v", test.code, err)
		}
		if test.want == "" && len(got) != 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
			t.Errorf("%s: %q, want one with %q", test.code, got, test.want)
		}
	}
}
