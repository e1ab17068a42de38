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
