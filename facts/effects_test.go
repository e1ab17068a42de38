package facts

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/facts/factstest"
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

// runaway is longer than any text may take on any machine: what a bound keeps short takes
// milliseconds, as `make bench` shows, and what none keeps short takes for ever.
const runaway = 20 * time.Second

// Whatever the text is, 64 KiB of it are answered soon.
func TestShellEffectsAreBounded(t *testing.T) {
	for name, command := range factstest.Hostile() {
		begun := time.Now()
		e := follow(command)
		took := time.Since(begun)
		checkEffects(t, command, e)
		if took > runaway {
			t.Errorf("%s: took %v", name, took)
		}
		if testing.Verbose() {
			fmt.Printf("%-22s %8v %s\n", name, took.Round(10*time.Microsecond), strings.Join(e.Unknown, "; "))
		}
	}
}

func BenchmarkShellEffects(b *testing.B) {
	for _, command := range factstest.Typical {
		b.Run(strings.Fields(command)[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ShellEffects(command, "/srv/app")
			}
		})
	}
}
