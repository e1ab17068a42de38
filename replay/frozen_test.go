package replay

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

var freeze = flag.Bool("freeze", false, "write a new frozen pack: -args SCENARIO NAME writes testdata/NAME.tar and its answers")

// scenarios are what frozen packs are made of.
var scenarios = map[string]func(t *testing.T) *site{
	"everything": func(t *testing.T) *site { s := newSite(t); s.everything(); return s },
	"budgets":    spending,
	"facts":      reading,
	"signed":     signing,
}

// TestFrozen holds every frozen pack to its frozen answers. They never change: a policy
// format means the same for ever, and a change that is meant is another format.
func TestFrozen(t *testing.T) {
	if *freeze {
		make := scenarios[flag.Arg(0)]
		if make == nil || flag.NArg() != 2 {
			t.Fatalf("-args SCENARIO NAME: the scenario %q is not known, or there is no name", flag.Arg(0))
		}
		s := make(t)
		var b bytes.Buffer
		if err := s.k.Export(t.Context(), &b, kernel.Export{Query: receipt.Query{All: true}, Options: pack.Options{Dir: t.TempDir()}}); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join("testdata", flag.Arg(1)+".tar")
		if _, err := os.Stat(name); err == nil {
			t.Fatalf("%s is there: what is frozen is not written again", name)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(strings.TrimSuffix(name, ".tar")+".ndjson", answers(t, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	packs, err := filepath.Glob("testdata/*.tar")
	if err != nil || len(packs) == 0 {
		t.Fatal("there are no frozen packs", err)
	}
	for _, name := range packs {
		want, err := os.ReadFile(strings.TrimSuffix(name, ".tar") + ".ndjson")
		if err != nil {
			t.Fatal(err)
		}
		if got := answers(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s: the answers are\n%s\nand were\n%s", name, got, want)
		}
	}
}

func answers(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := verify.Pack(bytes.NewReader(b), int64(len(b)), verify.Options{})
	if err != nil || rep.Exit == verify.ExitWrong {
		t.Fatal(name, err, rep)
	}
	p, err := pack.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := Run(p, rep.Entries, nil, func(d *Decision) error { return json.NewEncoder(&out).Encode(d) }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
