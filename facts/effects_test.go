package facts

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// follow reads without the recover of ShellEffects.
func follow(command string) Effects {
	e := Effects{}
	f := newFollower(&e, "/srv/app")
	f.code(command, place{})
	f.finish()
	return e
}

func checkEffects(t *testing.T, command string, e Effects) {
	t.Helper()
	words, bytes := 0, 0
	for _, c := range e.Commands {
		words += len(c.Args) + len(c.Reads) + len(c.Writes)
		if c.Literal == (c.Dynamic || c.Pattern) {
			t.Fatalf("%q: %+v", command, c)
		}
	}
	if len(e.Commands) > MaxShellCommands || words > MaxShellWords {
		t.Fatalf("%q: %d commands, %d words", command, len(e.Commands), words)
	}
	for _, list := range [][]string{e.Unknown, e.Reads, e.Writes, e.Hosts, e.Secrets, e.Persists} {
		bytes = 0
		for i, x := range list {
			bytes += len(x)
			if slices.Contains(list[:i], x) || strings.ContainsFunc(x, isOpen) {
				t.Fatalf("%q: the list %q", command, list)
			}
		}
		if len(list) > MaxShellListed || bytes > maxListedBytes {
			t.Fatalf("%q: a list of %d with %d bytes", command, len(list), bytes)
		}
	}
	for _, h := range e.Destroys {
		if !slices.Contains(HarmClasses, h.Class) || len(h.Command) > 200 {
			t.Fatalf("%q: %+v", command, h)
		}
	}
}

func FuzzShellEffects(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add(c.command)
	}
	f.Fuzz(func(t *testing.T, command string) {
		begun := time.Now()
		e := follow(command)
		if took := time.Since(begun); took > 2*time.Second { // far over what it may take, on any machine
			t.Fatalf("took %v", took)
		}
		if !reflect.DeepEqual(e, follow(command)) {
			t.Fatal("two readings differ")
		}
		checkEffects(t, command, e)
	})
}

// Whatever the text is, 64 KiB of it are answered soon.
func TestShellEffectsAreBounded(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s, MaxShellBytes/len(s)) }
	long := strings.Repeat("x", 30_000)
	for name, command := range map[string]string{
		"letters":             fill("x"),
		"words":               fill("x "),
		"commands":            fill("a\n"),
		"pipes":               fill("a|"),
		"chains":              fill("a&&"),
		"assignments":         fill("x=$x$x;"),
		"growing text":        "x=aaaaaaaaaaaaaaaa;" + strings.Repeat("x=$x$x;", 2000),
		"appending":           fill("x+=aaaaaaaaaaaaaaaa;"),
		"alternatives":        strings.Repeat("if a; then x=$x$RANDOM; fi;", 1500) + "$x",
		"braces":              strings.Repeat("{a,b}", 1500),
		"braces in words":     strings.Repeat("{a,b}{a,b}{a,b} ", 600),
		"nested braces":       strings.Repeat("{a,", 1000) + strings.Repeat("}", 1000),
		"a long sequence":     strings.Repeat("{1..99999999} {1..60} ", 900),
		"loops in loops":      strings.Repeat("for i in 1 2 3 4 5 6 7 8; do ", 20) + "a" + strings.Repeat("; done", 20),
		"whiles in whiles":    strings.Repeat("while a; do ", 25) + "a" + strings.Repeat("; done", 25),
		"loops of long text":  "for i in {1..60}; do for j in {1..60}; do x='" + long + "'$i; done; done",
		"functions":           strings.Repeat("f() { f; f; }; f;", 900),
		"functions in turn":   "a() { b; b; }; b() { c; c; }; c() { d; d; }; d() { e; e; }; e() { g; g; }; g() { h; h; }; h() { x; x; }; " + fill("a;")[:20000],
		"evals":               fill("eval "),
		"nested shells":       strings.Repeat(`sh -c "`, 30) + "a" + strings.Repeat(`"`, 30),
		"substitutions":       strings.Repeat("$(", 900) + strings.Repeat(")", 900),
		"echoes of echoes":    strings.Repeat("echo $(", 31) + "a" + strings.Repeat(")", 31),
		"aliases":             "alias a='a a a a'; alias b='a;a;b'; " + fill("a;b;"),
		"arithmetic":          "x='$x+$x'; " + strings.Repeat("echo $((x));", 900),
		"arrays":              strings.Repeat("a[99]=1;", 1000),
		"growing arrays":      "a=(1 2 3 4);" + strings.Repeat("a=(${a[@]} ${a[@]});", 400),
		"parameters":          "set -- a b c d e f; " + fill("set -- $@ $@;"),
		"patterns":            "x=" + strings.Repeat("a", 250) + ";" + strings.Repeat("echo ${x%*a*a*a*a*a*b};", 900),
		"globbed names":       fill("/???/??* "),
		"stars":               fill("/*****************b x;"),
		"replacing":           "x=" + strings.Repeat("a", 4000) + ";" + strings.Repeat("x=${x//a/bb};", 900),
		"redirections":        fill(">f "),
		"files":               fill(">$i cat f;"),
		"finds":               strings.Repeat("find . -exec ", 5000) + "a",
		"finds of many roots": "find " + strings.Repeat("a ", 5000) + "-exec find {} -exec rm {} + +",
		"wrappers":            fill("sudo "),
		"parallel":            "parallel parallel parallel a ::: " + fill("b ")[:30000],
		"xargs":               "echo " + fill("b ")[:30000] + "| xargs xargs xargs rm",
		"python":              "python -c '" + strings.Repeat(`os.system("python -c \"os.system(1)\"");`, 900) + "'",
		"awk":                 "awk '" + strings.Repeat(`system("awk x");`, 1900) + "'",
		"SQL":                 "psql -c '" + strings.Repeat("delete from x where ", 3000) + "'",
		"decoding":            "echo " + strings.Repeat("ZWNobyB4Owo", 5000) + " | base64 -d | sh",
		"printf":              "printf '%s%s%s' " + fill("aaaa ")[:60000],
		"here-documents":      fill("cat <<E\na\nE\n"),
		"URLs":                "curl " + fill("http://a.example/b "),
	} {
		command = cut(command, MaxShellBytes)
		best := time.Hour
		var e Effects
		for range 5 {
			begun := time.Now()
			e = follow(command)
			best = min(best, time.Since(begun))
		}
		checkEffects(t, command, e)
		if limit := 50 * time.Millisecond * raceFactor; best > limit {
			t.Errorf("%s: took %v, over %v", name, best, limit)
		}
		if testing.Verbose() {
			fmt.Printf("%-22s %8v %s\n", name, best.Round(10*time.Microsecond), strings.Join(e.Unknown, "; "))
		}
	}
}

func BenchmarkShellEffects(b *testing.B) {
	for _, command := range []string{"ls -la src", "sudo -u app env A=1 git push --force origin main", "cd src && grep -rn 'func main' --include='*.go' . | head -20 > /tmp/out 2>&1", "go test ./... 2>&1 | tail -20", "rm -rf node_modules dist && npm install"} {
		b.Run(strings.Fields(command)[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ShellEffects(command, "/srv/app")
			}
		})
	}
}
