package facts

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/shell.md's result anew")

// A shellCase is one of testdata/shell_cases.txt.
type shellCase struct{ id, want, source, command string }

var caseHeader = regexp.MustCompile(`^## ([xc][0-9]{3}) ([a-z]+)$`)

// readCases reads the table, which begins with a comment.
func readCases(t testing.TB) []shellCase {
	t.Helper()
	src, err := os.ReadFile("testdata/shell_cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []shellCase
	for i, block := range strings.Split(strings.TrimSuffix(string(src), "\n"), "\n\n") {
		if i == 0 {
			if !strings.HasPrefix(block, "# ") {
				t.Fatal("the table begins with no comment")
			}
			continue
		}
		head, rest, _ := strings.Cut(block, "\n")
		source, command, ok := strings.Cut(rest, "\n")
		source, named := strings.CutPrefix(source, "source: ")
		m := caseHeader.FindStringSubmatch(head)
		if m == nil || !ok || !named || source == "" || command == "" {
			t.Fatalf("no case: %q", block)
		}
		c := shellCase{m[1], m[2], source, command}
		if !slices.Contains(append([]string{"fetch", "secrets", "persists", "privileged", "opaque", "clean"}, HarmClasses...), c.want) || (c.id[0] == 'c') != (c.want == "clean") {
			t.Fatalf("%s wants %q", c.id, c.want)
		}
		if n := len(cases); n > 0 && cases[n-1].id[0] == c.id[0] && cases[n-1].id >= c.id {
			t.Fatalf("%s comes after %s", c.id, cases[n-1].id)
		}
		cases = append(cases, c)
	}
	return cases
}

// seen are the facts that a case's command has.
func seen(e Effects) (all []string) {
	for _, h := range e.Destroys {
		if !slices.Contains(all, h.Class) {
			all = append(all, h.Class)
		}
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{e.FetchToInterpreter, "fetch"}, {len(e.Secrets) > 0, "secrets"}, {len(e.Persists) > 0, "persists"}, {e.Privileged, "privileged"}} {
		if f.on {
			all = append(all, f.name)
		}
	}
	return all
}

// TestShellCases reads the table and says what became of each case, in docs/shell.md: a
// miss that remains is listed there, and neither a new one nor a mended one goes unnoticed.
func TestShellCases(t *testing.T) {
	const page = "../docs/shell.md"
	type count struct{ cases, caught, opaque, missed int }
	counts := map[string]*count{}
	var misses, opaques, alarms []string
	bad, good := 0, 0
	sources := map[string]bool{}
	for _, c := range readCases(t) {
		e := follow(c.command)
		checkEffects(t, c.command, e)
		found := seen(e)
		n := counts[c.want]
		if n == nil {
			n = &count{}
			counts[c.want] = n
		}
		n.cases++
		sources[c.source] = true
		row := fmt.Sprintf("| %s | `%s` | %s | ", c.id, strings.ReplaceAll(strings.ReplaceAll(c.command, "|", `\|`), "\n", "` `"), c.source)
		switch {
		case c.want == "clean" && len(found) > 0:
			n.missed++
			alarms = append(alarms, row+strings.Join(found, " ")+" |")
		case c.want == "clean" && len(e.Unknown) > 0:
			n.opaque++
			opaques = append(opaques, row+e.Unknown[0]+" |")
		case c.want == "clean", slices.Contains(found, c.want), c.want == "opaque" && len(found) > 0 && !slices.Equal(found, []string{"privileged"}):
			n.caught++
		case len(e.Unknown) > 0:
			n.opaque++
		default:
			n.missed++
			misses = append(misses, row+c.want+" |")
		}
		if c.want == "clean" {
			good++
		} else {
			bad++
		}
	}
	if bad+good < 400 || good*10 < (bad+good)*4 {
		t.Errorf("%d cases, of which %d are harmless", bad+good, good)
	}

	var b strings.Builder
	fmt.Fprintf(&b, "%d cases from %d sources, %d harmful and %d harmless.\n\n", bad+good, len(sources), bad, good)
	b.WriteString("| what a harmful one does | cases | caught | opaque | missed |\n|---|---|---|---|---|\n")
	sum := count{}
	for _, want := range append(slices.Clone(HarmClasses), "fetch", "secrets", "persists", "privileged", "opaque") {
		n := counts[want]
		if n == nil {
			t.Errorf("no case wants %s", want)
			continue
		}
		name := want
		if want == "opaque" {
			name = "nobody can say"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, n.cases, n.caught, n.opaque, n.missed)
		sum = count{sum.cases + n.cases, sum.caught + n.caught, sum.opaque + n.opaque, sum.missed + n.missed}
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d | %d |\n\n", sum.cases, sum.caught, sum.opaque, sum.missed)
	n := counts["clean"]
	b.WriteString("| | cases | clean | opaque | false alarm |\n|---|---|---|---|---|\n")
	fmt.Fprintf(&b, "| harmless | %d | %d | %d | %d |\n\n", n.cases, n.caught, n.opaque, n.missed)
	for _, list := range []struct {
		title, last string
		rows        []string
	}{{"Missed", "not seen", misses}, {"False alarms", "seen", alarms}, {"Opaque though harmless", "why", opaques}} {
		fmt.Fprintf(&b, "**%s**\n\n", list.title)
		if len(list.rows) == 0 {
			b.WriteString("None in the table.\n\n")
			continue
		}
		fmt.Fprintf(&b, "| case | command | source | %s |\n|---|---|---|---|\n%s\n\n", list.last, strings.Join(list.rows, "\n"))
	}

	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), "<!-- result -->\n\n")
	_, after, ok2 := strings.Cut(rest, "<!-- end of the result -->\n")
	if !ok || !ok2 {
		t.Fatal("docs/shell.md has no place for the result")
	}
	made := before + "<!-- result -->\n\n" + b.String() + "<!-- end of the result -->\n" + after
	if *update {
		if err := os.WriteFile(page, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if made != string(old) {
		t.Errorf("the result is another than docs/shell.md says; go test ./facts -run TestShellCases -update writes it anew:\n%s", b.String())
	}
}
