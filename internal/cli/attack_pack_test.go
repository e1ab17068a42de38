package cli_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A packFile is one file of a pack that was taken apart.
type packFile struct {
	name string
	data []byte
	end  int64 // of what is before the next header
}

func openPack(t *testing.T, b []byte) (files []packFile) {
	t.Helper()
	for r, at := tar.NewReader(bytes.NewReader(b)), int64(0); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		at += 512 + (h.Size+511)/512*512
		files = append(files, packFile{h.Name, data, at})
	}
}

// closePack writes the headers that spec/pack.md wants, whatever the files are.
func closePack(t *testing.T, files []packFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)})
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// verify asks both programs about a pack. They must agree to the letter.
func (v *victim) verify(t *testing.T, content []byte) (int, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pack.tar")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := v.helm(t, "helm-verify", "--trust", filepath.Join(v.home, "trust.policy"), file)
	code2, out2 := v.helm(t, "helm-ai-kernel", "verify", file)
	if code != code2 || strings.TrimPrefix(out, "helm-verify: ") != strings.TrimPrefix(out2, "helm-ai-kernel verify: ") {
		t.Errorf("helm-verify: exit %d: %s\nhelm-ai-kernel verify: exit %d: %s", code, out, code2, out2)
	}
	return code, out
}

// attackPack changes the pack on its way to the auditor, who has the trust file. The
// exit codes are those of spec/verify.md.
func (v *victim) attackPack(t *testing.T) {
	good, err := os.ReadFile(v.pack)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(closePack(t, openPack(t, good)), good) {
		t.Fatal("taking the pack apart and putting it together changes it")
	}
	if code, out := v.verify(t, good); code != 0 || !strings.HasPrefix(out, "VERIFIED") {
		t.Fatalf("the pack that nobody changed: exit %d: %s", code, out)
	}

	edit := func(name string, edit func([]byte) []byte) func([]packFile) []packFile {
		return func(files []packFile) []packFile {
			for i, f := range files {
				if strings.HasPrefix(f.name, name) {
					files[i].data = edit(bytes.Clone(f.data))
				}
			}
			return files
		}
	}
	drop := func(name string) func([]packFile) []packFile {
		return func(files []packFile) []packFile {
			return slices.DeleteFunc(files, func(f packFile) bool { return strings.HasPrefix(f.name, name) })
		}
	}
	lines := func(name string, change func([][]byte) [][]byte) func([]packFile) []packFile {
		return edit(name, func(b []byte) []byte { return bytes.Join(change(bytes.SplitAfter(b, []byte("\n"))), nil) })
	}
	swap := func(l [][]byte) [][]byte { l[20], l[21] = l[21], l[20]; return l }
	text := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	}
	for _, test := range []struct {
		name   string
		exit   int
		want   string
		attack func([]packFile) []packFile
	}{
		{"entry dropped", 1, "entry 20 (decision) is of the log, all of which was asked for, and was left out", lines(pack.Entries, func(l [][]byte) [][]byte { return slices.Delete(l, 20, 21) })},
		{"last entry dropped", 1, "was left out", lines(pack.Entries, func(l [][]byte) [][]byte { return l[:len(l)-2] })},
		{"all entries dropped", 1, "entry 0 (genesis) is of the log", lines(pack.Entries, func([][]byte) [][]byte { return nil })},
		{"two entries swapped", 1, "entry 20: it stands after entry 21", lines(pack.Entries, swap)},
		{"entry doubled", 1, "entry 20: it stands after entry 20", lines(pack.Entries, func(l [][]byte) [][]byte { return slices.Insert(l, 20, l[20]) })},
		{"two disclosures swapped", 1, "payloads.jsonl: a line opens an entry", lines(pack.Payloads, swap)},
		{"argument changed", 1, "entry 3: disclosure", edit(pack.Payloads, text(`["/arguments/n",`, `["/arguments/m",`))},
		{"disclosure dropped", 1, "payloads.jsonl is not the file that pack.json lists:", lines(pack.Payloads, func(l [][]byte) [][]byte { return l[1:] })},
		{"policy changed", 1, ".toml is not the file that pack.json lists:", edit("policies/", text(`verdict = "ESCALATE"`, `verdict = "ALLOW"`))},
		{"policy dropped", 1, `pack.json lists "policies/`, drop("policies/")},
		{"checkpoint by another key", 1, "the checkpoint does not verify with the log's key", edit(pack.Checkpoint, func(b []byte) []byte { return []byte(signAgain(t, string(b))) })},
		{"checkpoint dropped", 2, `"checkpoint"`, drop(pack.Checkpoint)},
		{"proof dropped", 2, `"nodes"`, drop(pack.Nodes)},
		{"proof filled", 1, "nodes is not the file that pack.json lists:", edit(pack.Nodes, func([]byte) []byte { return make([]byte, 32) })},
		{"leaves dropped", 1, `pack.json lists "leaves", which is not here`, drop(pack.Leaves)},
		{"entries dropped", 2, `"entries.jsonl"`, drop(pack.Entries)},
		{"payloads dropped", 2, `"payloads.jsonl"`, drop(pack.Payloads)},
		{"how to verify changed", 1, "README.txt is not the file that pack.json lists:", edit(pack.Readme, text("helm-verify", "true       "))},
		{"how to verify dropped", 2, `"README.txt"`, drop(pack.Readme)},
		{"statement dropped", 2, `"pack.json"`, drop(pack.PackFile)},
		{"stray file", 2, `"notes.txt"`, func(files []packFile) []packFile { return append(files, packFile{name: "notes.txt"}) }},
		{"path that leads out", 2, `"../entries.jsonl"`, func(files []packFile) []packFile { return append(files, packFile{name: "../entries.jsonl"}) }},
		{"file twice", 2, `"pack.json" comes after "pack.json"`, func(files []packFile) []packFile { return append(files, files[len(files)-1]) }},
		{"files in another order", 2, "comes after", func(files []packFile) []packFile { slices.Reverse(files); return files }},
		{"two files' content swapped", 1, "entries.jsonl is not the file that pack.json lists:", func(files []packFile) []packFile {
			i := slices.IndexFunc(files, func(f packFile) bool { return f.name == pack.Entries })
			files[i].data, files[i+1].data = files[i+1].data, files[i].data
			return files
		}},
		{"redaction that says nothing", 2, "redaction", func(files []packFile) []packFile {
			return append(files, packFile{name: pack.Redaction, data: []byte("{}\n")})
		}},
		{"redaction that excuses a change", 1, "entry 3: disclosure", func(files []packFile) []packFile {
			files = edit(pack.Payloads, text(`["/arguments/n",`, `["/arguments/m",`))(files)
			i := slices.IndexFunc(files, func(f packFile) bool { return f.name == pack.Payloads })
			said, err := (&receipt.Redaction{Payloads: sha256.Sum256(files[i].data), Note: "closed"}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			return append(files, packFile{name: pack.Redaction, data: said})
		}},
		{"nothing left", 2, `no file "checkpoint"`, func([]packFile) []packFile { return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := closePack(t, test.attack(openPack(t, good)))
			if bytes.Equal(b, good) {
				t.Fatal("nothing was changed")
			}
			code, out := v.verify(t, b)
			t.Log(out)
			if code != test.exit || !strings.Contains(out, test.want) || strings.Contains(out, "VERIFIED") {
				t.Errorf("exit %d: it must be %d and say %q", code, test.exit, test.want)
			}
			if strings.HasSuffix(test.name, " dropped") && strings.Contains(out, "lists at this place") {
				t.Error("a file that was left alone is accused")
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int{0, 1, 511, 512, len(good) / 2, len(good) - 1024, len(good) - 512, len(good) - 1} {
			if code, out := v.verify(t, good[:n]); code != 2 || strings.Contains(out, "VERIFIED") {
				t.Errorf("after %d of %d bytes: exit %d: %s", n, len(good), code, out)
			}
		}
		if code, out := v.verify(t, append(bytes.Clone(good), good...)); code != 2 || strings.Contains(out, "VERIFIED") {
			t.Errorf("twice: exit %d: %s", code, out)
		}
	})
	t.Run("bytes", func(t *testing.T) { t.Parallel(); v.flipBytes(t, good) })
}

// flipBytes changes a byte at each of 200 places. The answer names the file, or the
// place in the tar.
func (v *victim) flipBytes(t *testing.T, good []byte) {
	const places = 200
	files := openPack(t, good)
	b, file := bytes.Clone(good), filepath.Join(t.TempDir(), "pack.tar")
	for i := range places {
		at := i * (len(good) - 1) / (places - 1)
		b[at] ^= 1 << (i % 8)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		b[at] = good[at]
		in := fmt.Sprintf("byte %d", at) // of the end mark
		if n := slices.IndexFunc(files, func(f packFile) bool { return int64(at) < f.end }); n >= 0 {
			in = files[n].name
		}
		code, out := v.helm(t, "helm-verify", "--trust", filepath.Join(v.home, "trust.policy"), file)
		if code != 1 && code != 2 || strings.Contains(out, "VERIFIED") || !strings.Contains(out, in) && !strings.Contains(out, " at byte ") {
			t.Errorf("byte %d, in %s: exit %d: %s", at, in, code, out)
		}
	}
}
