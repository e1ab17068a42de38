// Package pack writes and opens EvidencePacks: the tar file that is handed to an
// auditor (spec/pack.md). It says nothing about what a pack proves; package verify
// does.
package pack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// The files of a pack, in the order in which they stand in the tar.
const (
	Checkpoint  = "checkpoint"     // the signed checkpoint that everything is in
	policies    = "policies/"      // and SHA-256 and ".toml": policies, in byte order of their names
	Consistency = "consistency"    // where asked for: the consistency proof from an older size
	Nodes       = "nodes"          // the multi-proof
	Leaves      = "leaves"         // an entry bundle of every leaf of the window
	Entries     = "entries.jsonl"  // envelopes, in log order
	Payloads    = "payloads.jsonl" // disclosures, in log order
	Readme      = "README.txt"     // how to verify
	PackFile    = "pack.json"      // signed: the query, and the digest of every file above
	Redaction   = "redaction.json" // where a holder closed lines of payloads.jsonl
)

// Limits of a pack.
const (
	MaxLeaves          = 1_000_000 // in a window; a longer one has no leaves
	MaxPolicies        = 4096
	MaxPolicyBytes     = 4 << 20
	MaxDisclosureBytes = 32 << 20 // of one line of payloads.jsonl
	maxReadmeBytes     = 64 << 10
	maxFileBytes       = 8<<30 - 1 // what a ustar header can say
)

// Policy is the name of the file of the policy with that SHA-256.
func Policy(sha receipt.Hash) string { return policies + hex.EncodeToString(sha[:]) + ".toml" }

// rank is a name's place in the order of files, from 1, and the most bytes that
// such a file may have. Rank 0 is a name that no pack has.
func rank(name string) (rank int, limit int64) {
	if s, ok := strings.CutPrefix(name, policies); ok {
		var sha receipt.Hash
		if n, err := hex.Decode(sha[:], []byte(strings.TrimSuffix(s, ".toml")[:min(len(s), 64)])); err != nil || n != len(sha) || Policy(sha) != name {
			return 0, 0
		}
		return 2, MaxPolicyBytes
	}
	switch name {
	case Checkpoint:
		return 1, receipt.MaxCheckpointBytes
	case Consistency:
		return 3, 64 * 32
	case Nodes:
		return 4, maxFileBytes
	case Leaves:
		return 5, MaxLeaves * (2 + receipt.MaxLeafBytes)
	case Entries:
		return 6, maxFileBytes
	case Payloads:
		return 7, maxFileBytes
	case Readme:
		return 8, maxReadmeBytes
	case PackFile:
		return 9, receipt.MaxPackFileBytes
	case Redaction:
		return 10, receipt.MaxRedactionBytes
	}
	return 0, 0
}

var required = []string{Checkpoint, Nodes, Entries, Payloads, Readme, PackFile}

// A File is one file of a pack: where its bytes are in the tar.
type File struct {
	Name         string
	Offset, Size int64
}

// A Reader reads the files of a pack.
type Reader struct {
	Files []File // in the tar's order
	tar   io.ReaderAt
}

const block = 512

// Open reads the headers of a pack of that size. It accepts only what Write and
// Redact print: the files of spec/pack.md in their order, each once, in plain ustar
// headers with nothing in them but name and size, zero padding, two zero blocks,
// and the end. No file's content is read.
func Open(tar io.ReaderAt, size int64) (*Reader, error) {
	p := &Reader{tar: tar}
	if err := p.index(size); err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	return p, nil
}

// madeAgain is the advice where a tar is none that an export writes.
const madeAgain = "a pack is kept as it was exported, and this is another tar, or one that was unpacked and made again"

func (p *Reader) index(size int64) error {
	var last string
	lastRank, nPolicies := 0, 0
	at := int64(0)
	var head [block]byte
	for {
		if n, err := p.tar.ReadAt(head[:], at); n < block && err != nil && err != io.EOF {
			return fmt.Errorf("header at byte %d: %w", at, err)
		} else if at == 0 && string(head[257:262]) != "ustar" && (size < block || head != [block]byte{}) {
			if size == 0 {
				return errors.New("it is empty")
			}
			return errors.New("it is not a tar file")
		} else if n < block {
			return fmt.Errorf("it is cut off: a header at byte %d is missing, and it ends at byte %d", at, size)
		}
		if head == ([block]byte{}) {
			break
		}
		name, n, err := parseHeader(&head)
		if err != nil {
			return fmt.Errorf("header at byte %d: %w", at, err)
		}
		r, limit := rank(name)
		switch {
		case r == 0:
			return fmt.Errorf("header at byte %d: no pack has a file %.100q: %s", at, name, madeAgain)
		case r < lastRank || r == lastRank && name <= last:
			return fmt.Errorf("header at byte %d: the file %q comes after %q: %s", at, name, last, madeAgain)
		case n > limit:
			return fmt.Errorf("header at byte %d: the file %q has %d bytes: at most %d are allowed", at, name, n, limit)
		}
		if r == 2 {
			if nPolicies++; nPolicies > MaxPolicies {
				return fmt.Errorf("header at byte %d: there are more than %d policies", at, MaxPolicies)
			}
		}
		last, lastRank = name, r
		p.Files = append(p.Files, File{name, at + block, n})
		end := at + block + n
		at = (end + block - 1) / block * block
		if at > size {
			return fmt.Errorf("it is cut off in the file %q: it ends at byte %d", name, size)
		}
		if err := p.zeros(end, at); err != nil {
			return err
		}
	}
	switch end := at + 2*block; {
	case size < end:
		return fmt.Errorf("it is cut off at byte %d: its end is at %d", size, end)
	case size > end:
		return fmt.Errorf("its end is at byte %d, and bytes follow up to %d: %s", end, size, madeAgain)
	}
	if err := p.zeros(at, size); err != nil {
		return err
	}
	for _, name := range required {
		if _, ok := p.File(name); !ok {
			return fmt.Errorf("there is no file %q: %s", name, madeAgain)
		}
	}
	return nil
}

// zeros refuses bytes from one offset to another that are not zero.
func (p *Reader) zeros(from, to int64) error {
	b := make([]byte, to-from)
	if _, err := p.tar.ReadAt(b, from); err != nil && len(b) > 0 && err != io.EOF {
		return fmt.Errorf("padding at byte %d: %w", from, err)
	}
	if i := bytes.IndexFunc(b, func(r rune) bool { return r != 0 }); i >= 0 {
		return fmt.Errorf("padding at byte %d is not zero", from+int64(i))
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// File finds a file by its name.
func (p *Reader) File(name string) (File, bool) {
	for _, f := range p.Files {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}

// Section is a file's content.
func (p *Reader) Section(f File) *io.SectionReader {
	return io.NewSectionReader(p.tar, f.Offset, f.Size)
}

// Read is the whole content of one of the small files, or nil where there is none.
func (p *Reader) Read(name string) ([]byte, error) {
	f, ok := p.File(name)
	if !ok {
		return nil, nil
	}
	b := make([]byte, f.Size)
	if _, err := io.ReadFull(p.Section(f), b); err != nil {
		return nil, fmt.Errorf("read %s of the pack: %w", name, noEOF(err))
	}
	return b, nil
}

// header is the ustar header (POSIX.1-1988) of a regular file: mode 0644, ids and
// time 0, no names of people, no link, no prefix.
func header(name string, size int64) (h [block]byte) {
	copy(h[0:100], name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x0000000000000\x00", size))
	copy(h[148:], "        0") // the checksum counts as spaces; type 0
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x000000000\x00") // device numbers
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// parseHeader reads what header prints, and nothing else.
func parseHeader(h *[block]byte) (name string, size int64, err error) {
	end := bytes.IndexByte(h[:100], 0)
	if end < 0 {
		end = 100
	}
	name = string(h[:end])
	for _, c := range h[124:135] {
		if c < '0' || c > '7' {
			return "", 0, fmt.Errorf("the size of %.100q is not eleven octal digits: %s", name, madeAgain)
		}
		size = size<<3 | int64(c-'0')
	}
	if want := header(name, size); want != *h {
		return "", 0, fmt.Errorf("the header of %.100q is not that of a file in a pack, which has another %s: %s", name, differing(h, &want), madeAgain)
	}
	return name, size, nil
}

// differing names what in two headers is not the same, in the tar's order. The
// checksum, which follows from the rest, is named only where nothing else is.
func differing(a, b *[block]byte) string {
	var out []string
	from := 0
	for _, field := range []struct {
		to   int
		name string
	}{
		{100, "name"}, {108, "mode"}, {116, "uid"}, {124, "gid"}, {136, "size"}, {148, "time"}, {156, "checksum"}, {157, "type"},
		{257, "link"}, {265, "magic"}, {297, "owner"}, {329, "group"}, {345, "device"}, {block, "prefix"},
	} {
		if !bytes.Equal(a[from:field.to], b[from:field.to]) && field.name != "checksum" {
			out = append(out, field.name)
		}
		from = field.to
	}
	if out == nil {
		return "checksum"
	}
	return strings.Join(out, ", ")
}
