package verifycmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// A packFile is a file that looks like a pack.
type packFile struct {
	*os.File
	size int64
}

// openPack opens a pack. What is clearly something else is told from its first bytes.
func (c *Command) openPack(name string) (*packFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := c.lookAtPack(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return &packFile{f, size}, nil
}

func (c *Command) lookAtPack(f *os.File) (int64, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return 0, err
	case info.IsDir():
		return 0, errors.New("is a directory: a pack is one tar file, and is not unpacked to be verified")
	case !info.Mode().IsRegular():
		return 0, errors.New("is not a regular file")
	}
	head := make([]byte, min(info.Size(), 4096))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return 0, err
	}
	return info.Size(), c.mustBe(aTar, head, f.Name())
}

// A pack of that size leaves so much behind that the garbage must be collected early
// for memory to stay small; to do that with every pack costs a tenth of the speed.
const largePack = 512 << 20

func (p *packFile) verify(o verify.Options) (*verify.Report, error) {
	if p.size > largePack {
		defer debug.SetGCPercent(debug.SetGCPercent(30))
	}
	rep, err := verify.Pack(p, p.size, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name(), err)
	}
	return rep, nil
}

func (c *Command) verifyReceipt(f *flags, o verify.Options) (*verify.Report, error) {
	name := f.files[0]
	b, err := readFile(name, receipt.MaxEnvelopeBytes)
	if err == nil || len(b) > 0 { // of a file that is too long, say what it is
		if kerr := c.mustBe(aReceipt, b, name); kerr != nil {
			return nil, fmt.Errorf("%s %w", name, kerr)
		}
	}
	if err != nil {
		return nil, err
	}
	var call []byte
	if f.call != "" {
		if call, err = readFile(f.call, 2*helm.MaxInputBytes); err != nil {
			return nil, err
		}
	}
	rep, err := verify.Receipt(b, call, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rep, nil
}

// readFile reads a small file. Of one that is too long, it returns the beginning too.
func readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s has more than %d bytes", name, max)
	}
	return b, err
}

// The kinds of files that are taken for one another.
const (
	aTar        = "a tar file"
	aReceipt    = "a receipt"
	aReformed   = "a receipt that was formatted anew"
	anAnswer    = "the kernel's answer to a call"
	aReport     = "a verifier's answer"
	someJSON    = "other JSON"
	aCheckpoint = "a checkpoint"
	aTrustFile  = "a trust file"
	aPolicy     = "a policy"
	gzipped     = "compressed by gzip"
	compressed  = "compressed"
	aDatabase   = "an SQLite database"
	inPEM       = "a key in PEM"
)

// kind says what a file that begins like this looks like, or "". It is advice in
// messages, and decides nothing about evidence.
func kind(head []byte) string {
	text := string(head)
	begins := func(s string, with ...string) bool {
		for _, w := range with {
			if strings.HasPrefix(s, w) {
				return true
			}
		}
		return false
	}
	tight := strings.Join(strings.Fields(text), "")
	switch {
	case len(text) > 262 && (text[257:262] == "ustar" || strings.Trim(text, "\x00") == ""): // without files, only NULs
		return aTar
	case begins(text, `{"payload":"`):
		return aReceipt
	case begins(tight, `{"payload":`, `{"payloadType":`, `{"signatures":`, `{"proof":`):
		return aReformed
	case begins(tight, `{"id":`) && strings.Contains(tight, `"verdict":`):
		return anAnswer
	case begins(text, `{"exit":`):
		return aReport
	case begins(tight, `{"`, `{}`, `[{`, `["`, `[]`):
		return someJSON
	case begins(text, "\x1f\x8b"):
		return gzipped
	case begins(text, "PK\x03\x04", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zXZ"):
		return compressed
	case begins(text, "SQLite format 3\x00"):
		return aDatabase
	case begins(text, "-----BEGIN "):
		return inPEM
	}
	if _, _, err := receipt.ParseCheckpoint(text); err == nil {
		return aCheckpoint
	}
	for line := range bytes.Lines(head) {
		switch word, _, _ := strings.Cut(string(line), " "); {
		case begins(strings.TrimSpace(string(line)), "[policy]", "[lists]", "[[rule]]", "[[tool]]", "[[test]]"):
			return aPolicy
		case word == "log" || word == "witness" || word == "quorum":
			return aTrustFile
		}
	}
	return ""
}

// mustBe refuses a file of another kind, saying what it is and what to do with it.
func (c *Command) mustBe(want string, head []byte, name string) error {
	asked := map[string]string{aTar: "a pack", aReceipt: "a receipt"}[want]
	hint := map[string]string{
		aTar:     "a pack is the tar file that \"helm-ai-kernel evidence export\" writes",
		aReceipt: "a receipt is one line of JSON that begins with {\"payload\":",
	}[want]
	if len(head) == 0 {
		return errors.New("is empty")
	}
	got := kind(head)
	switch got {
	case want:
		return nil
	case "":
		return fmt.Errorf("is not %s: %s", asked, hint)
	case aTar:
		hint = "a pack is verified by " + c.Name + " " + name
	case aReceipt:
		hint = "it is verified by " + c.Name + " receipt " + name
	case aReformed:
		hint = "a receipt is kept as it came, byte for byte, on one line"
	case anAnswer:
		hint = "the receipt is in it, and jq -c .receipt " + name + " takes it out"
	case aCheckpoint:
		hint = "one that you kept is brought with --since-checkpoint " + name
	case aTrustFile:
		hint = "it is brought with --trust " + name
	case gzipped:
		hint = "gunzip gives back what was compressed"
	case compressed:
		hint = "decompress it first"
	case aDatabase:
		hint = "of a log the operator exports a pack"
	}
	return fmt.Errorf("is %s, not %s: %s", got, asked, hint)
}
