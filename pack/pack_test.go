package pack_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func TestWriteIsDeterministic(t *testing.T) {
	q := receipt.Query{Agent: "agent.a"}
	a := packtest.New("x").Demo()
	b := packtest.New("x").Demo()
	size := a.Size()
	first := a.PackAt(size, q, pack.Options{})
	b.Freeze() // the log goes on, the snapshot does not
	if !bytes.Equal(first, b.PackAt(size, q, pack.Options{})) {
		t.Error("the same query at the same size gave other bytes")
	}
}

// TestTarIsPlain reads a pack with Go's and, where there is one, the system's tar.
func TestTarIsPlain(t *testing.T) {
	b := packtest.New("x").Demo().Pack(receipt.Query{All: true}, pack.Options{})
	p, err := pack.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(b))
	for _, f := range p.Files {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != f.Name || h.Size != f.Size || h.Mode != 0o644 || h.Uid != 0 || h.ModTime.Unix() != 0 || h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR {
			t.Errorf("archive/tar reads %+v for %+v", h, f)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := p.Read(f.Name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the contents differ: %v", f.Name, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last file: %v", err)
	}
	if _, err := exec.LookPath("tar"); err != nil {
		return
	}
	file := filepath.Join(t.TempDir(), "p.tar")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tar", "tf", file).Output()
	if err != nil || !strings.HasSuffix(string(out), "README.txt\npack.json\n") {
		t.Errorf("tar tf: %v\n%s", err, out)
	}
}

// TestMadeAgain opens tars with the files of a pack that the system's tar made: each
// is refused, with what differs and the advice to keep packs as they are.
func TestMadeAgain(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("there is no tar")
	}
	dir := t.TempDir()
	good := filepath.Join(dir, "good.tar")
	if err := os.WriteFile(good, packtest.New("x").Demo().Pack(receipt.Query{All: true}, pack.Options{}), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		c := exec.Command("tar", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("tar %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	run("xf", "good.tar", "-C", "x")
	plain := []string{"--mode=0644", "--owner=:0", "--group=:0", "--mtime=@0"}
	files := []string{"checkpoint", "nodes", "leaves", "entries.jsonl", "payloads.jsonl", "README.txt", "pack.json"}
	for _, row := range []struct {
		name string
		args []string
		says []string
	}{
		{"the folder", []string{"."}, []string{`"./"`, "mode", "type"}},
		{"by name", append([]string{"--format=ustar", "--mode=0600"}, files...), []string{`"checkpoint"`, "mode"}},
		{"another time", append([]string{"--format=ustar", "--mode=0644", "--owner=:0", "--group=:0", "--mtime=@1"}, files...), []string{"another time"}},
		{"an owner", append([]string{"--format=ustar", "--mode=0644", "--owner=auditor:7", "--group=:0", "--mtime=@0"}, files...), []string{"another uid", "owner"}},
		{"GNU's format", append(append([]string{"--format=gnu"}, plain...), files...), []string{"magic"}},
		{"in another order", append(append([]string{"--format=ustar"}, plain...), "pack.json", "checkpoint"), []string{""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			run(append([]string{"cf", "new.tar", "-C", "x"}, row.args...)...)
			b, err := os.ReadFile(filepath.Join(dir, "new.tar"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = pack.Open(bytes.NewReader(b), int64(len(b)))
			if err == nil {
				t.Fatal("it is accepted")
			}
			for _, say := range append(row.says, "a pack is kept as it was exported") {
				if !strings.Contains(err.Error(), say) {
					t.Errorf("%v: %q is not said", err, say)
				}
			}
			t.Log(err)
		})
	}
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		b    []byte
		says string
	}{
		"padded to records": {append(bytes.Clone(b), make([]byte, 10240-len(b)%10240)...), "a pack is kept as it was exported"},
		"text":              {[]byte("id = 1\n"), "it is not a tar file"},
		"more text":         {bytes.Repeat([]byte("id = 1\n"), 100), "it is not a tar file"},
		"empty":             {nil, "it is empty"},
		"cut off":           {b[:len(b)-1500], "cut off"},
		"cut in a header":   {b[:600], "cut off"},
		"cut at the end":    {b[:len(b)-512], "cut off"},
	} {
		if _, err := pack.Open(bytes.NewReader(row.b), int64(len(row.b))); err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "EOF") {
			t.Errorf("%s: %v, want %q", name, err, row.says)
		}
	}
}
