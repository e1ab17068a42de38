package pack_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func packs(f *testing.F) (out [][]byte) {
	names, err := filepath.Glob("../spec/vectors/packs/*.tar")
	if err != nil || len(names) == 0 {
		f.Fatal("there are no packs in spec/vectors", err)
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// FuzzOpen opens tars that were good until some bytes were written into them. What
// it accepts has its files inside the tar, in order and apart.
func FuzzOpen(f *testing.F) {
	good := packs(f)
	f.Add(uint8(0), uint32(0), []byte{})
	f.Add(uint8(1), uint32(0), []byte("../../etc/passwd"))
	f.Add(uint8(2), uint32(124), []byte("77777777777"))
	f.Add(uint8(3), uint32(156), []byte("2"))
	f.Add(uint8(4), uint32(511), []byte("\x01"))
	f.Fuzz(func(t *testing.T, which uint8, at uint32, patch []byte) {
		b := bytes.Clone(good[int(which)%len(good)])
		copy(b[int(at)%len(b):], patch)
		p, err := pack.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		end := int64(0)
		for _, x := range p.Files {
			if x.Size < 0 || x.Offset < end+512 || x.Offset+x.Size > int64(len(b))-1024 {
				t.Errorf("the file %+v begins before %d or ends behind %d", x, end+512, len(b)-1024)
			}
			end = x.Offset + x.Size
		}
	})
}

// FuzzPackFile parses hostile pack.json files: what is accepted is printed again
// byte for byte.
func FuzzPackFile(f *testing.F) {
	for _, b := range packs(f) {
		p, err := pack.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			continue
		}
		file, err := p.Read(pack.PackFile)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		if e, err := receipt.ParsePackFile(file); err == nil {
			f.Add(e.Payload)
		}
		if file, _ := p.Read(pack.Redaction); file != nil {
			f.Add(file)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := receipt.ParsePackFile(b); err == nil {
			if again, err := receipt.MarshalPackFile(e); err != nil || !bytes.Equal(again, b) {
				t.Errorf("printed again, it is %q: %v", again, err)
			}
		}
		if p, err := receipt.ParsePack(b); err == nil {
			if again, err := p.Marshal(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("printed again, it is %q: %v", again, err)
			}
		}
		if r, err := receipt.ParseRedaction(b); err == nil {
			if again, err := r.Marshal(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("printed again, it is %q: %v", again, err)
			}
		}
	})
}

// FuzzTree feeds a hostile multi-proof to the tree: it never panics, and only the
// genuine nodes lead to the root.
func FuzzTree(f *testing.F) {
	f.Add(uint64(7), uint64(3), make([]byte, 96))
	f.Add(uint64(1)<<53-1, uint64(1)<<52, make([]byte, 64*32))
	f.Add(uint64(0), uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, size, index uint64, nodes []byte) {
		tree := pack.NewTree(size, bytes.NewReader(nodes), index)
		if err := tree.Add(index, receipt.Hash{}); err != nil {
			return
		}
		tree.Add(index+1, receipt.Hash{})
		tree.Root()
	})
}
