package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// A replaced log changed its key at entry 3. The old one was stolen.
type replaced struct {
	*packtest.Log
	stolen             ed25519.PrivateKey
	oldTrust, newTrust string
}

func replaceKey() replaced {
	l := packtest.New("stolen")
	l.Decide("a", "s", helm.Allow, nil, nil)
	r := replaced{Log: l, stolen: l.Key, oldTrust: l.Trust()}
	l.Rotate()
	l.Decide("a", "s", helm.Deny, nil, nil)
	r.newTrust = "log " + receipt.VKey(l.Origin, public(l.Key)) + "\nquorum none\n"
	return r
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// resign has the thief sign everything of a pack that he can: checkpoint and
// pack.json, after edit.
func (r replaced) resign(t *testing.T, b []byte, edit func(tb *tarball)) []byte {
	t.Helper()
	tb := open(t, b)
	c, _, err := receipt.ParseCheckpoint(string(tb.data[pack.Checkpoint]))
	must(t, err)
	s, err := receipt.SignCheckpoint(r.stolen, c)
	must(t, err)
	tb.data[pack.Checkpoint] = []byte(s)
	if edit != nil {
		edit(tb)
	}
	tb.seal(t, &packtest.Log{Key: r.stolen}, nil)
	return tb.bytes(t)
}

// TestStolenKey: the thief of a key that was replaced convinces nobody whose trust
// file names the new one alone.
func TestStolenKey(t *testing.T) {
	r := replaceKey()
	fork := packtest.New("stolen")
	fork.Decide("a", "s", helm.Deny, nil, nil)
	elsewhere := packtest.New("stolen")
	elsewhere.NextKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	elsewhere.Rotate()
	elsewhere.Decide("a", "s", helm.Allow, nil, nil)
	for _, c := range []struct {
		name string
		pack []byte
		code string
	}{
		{"a fork from genesis", fork.Pack(everything, pack.Options{}), "signer-other"},
		{"a fork of the same size as the log", longer(fork, r.Size()).Pack(everything, pack.Options{}), "signer-other"},
		{"a longer fork", longer(fork, r.Size()+5).Pack(everything, pack.Options{}), "signer-other"},
		{"a change to the thief's own key", elsewhere.Pack(everything, pack.Options{}), "signer-other"},
		{"the log as it was before", r.PackAt(3, everything, pack.Options{}), "signer-other"},
		{"the checkpoint signed again", r.resign(t, r.Pack(everything, pack.Options{}), nil), "checkpoint-signature"},
		{"an entry behind the change signed again", r.resign(t, r.Pack(everything, pack.Options{}), func(tb *tarball) {
			tb.entry(t, 4, func(e *receipt.Envelope) {
				s, err := receipt.Sign(r.stolen, e.Payload)
				must(t, err)
				e.Signatures[0] = s
			})
		}), "entry-signature"},
		{"the change left out", r.resign(t, r.PackAt(4, everything, pack.Options{}), func(tb *tarball) {
			tb.lines(pack.Entries, func(l []string) []string { return l[:3] })
		}), "signer-other"},
	} {
		exit, codes, text := verdict(t, c.pack, verify.Options{Trust: trust(t, r.newTrust)})
		if exit != verify.ExitWrong || !slices.Contains(codes, c.code) {
			t.Errorf("%s: exit %d, want 1 with %q\n%s", c.name, exit, c.code, text)
		}
	}
	// What the old trust file believes is why it must be changed.
	if exit, _, text := verdict(t, fork.Pack(everything, pack.Options{}), verify.Options{Trust: trust(t, r.oldTrust)}); exit != verify.ExitOK {
		t.Errorf("the fork, trusting the stolen key: exit %d\n%s", exit, text)
	}
}

// longer goes on with a log until it has a size.
func longer(l *packtest.Log, size uint64) *packtest.Log {
	for l.Size() < size {
		l.Decide("a", "s", helm.Deny, nil, nil)
	}
	return l
}

// TestReceiptAfterRotation: of both keys' signatures each counts for what it is.
func TestReceiptAfterRotation(t *testing.T) {
	r := replaceKey()
	both := strings.Replace(r.newTrust, "quorum", strings.TrimSuffix(r.oldTrust, "quorum none\n")+"quorum", 1)
	fork := longer(packtest.New("stolen"), 5)
	for _, c := range []struct {
		name  string
		file  []byte
		trust string
		exit  int
		code  string
	}{
		{"from before, the old key", r.Receipt(2, 3), r.oldTrust, 0, "signer"},
		{"from before, both keys", r.Receipt(2, 3), both, 0, "signer"},
		{"from before, the new key", r.Receipt(2, 3), r.newTrust, 1, "signer-other"},
		{"of before, proved now, both keys", r.Receipt(2, 5), both, 0, "signer"},
		{"of before, proved now, the new key", r.Receipt(2, 5), r.newTrust, 3, "signer-statement"},
		{"of before, proved now, the old key", r.Receipt(2, 5), r.oldTrust, 1, "signer-other"},
		{"of now, the new key", r.Receipt(4, 5), r.newTrust, 0, "signer"},
		{"of now, the old key", r.Receipt(4, 5), r.oldTrust, 1, "signer-other"},
		{"of a fork, the new key", fork.Receipt(4, 5), r.newTrust, 1, "signer-other"},
	} {
		rep, err := verify.Receipt(c.file, nil, verify.Options{Trust: trust(t, c.trust)})
		must(t, err)
		if rep.Exit != c.exit || !slices.ContainsFunc(rep.Findings, func(f verify.Finding) bool { return f.Code == c.code }) {
			t.Errorf("%s: exit %d, want %d with %q\n%s", c.name, rep.Exit, c.exit, c.code, print(rep))
		}
	}
}

// TestKeptBeforeRotation: what was kept from before the change is compared with the
// log as it is now, by one who trusts the new key alone.
func TestKeptBeforeRotation(t *testing.T) {
	r := replaceKey()
	b := r.Pack(everything, pack.Options{})
	fork := longer(packtest.New("stolen"), 5)
	at, _, err := receipt.ParseCheckpoint(r.Checkpoint(5))
	must(t, err)
	again, err := receipt.SignCheckpoint(r.stolen, at)
	must(t, err)
	for _, c := range []struct {
		name string
		kept []byte
		exit int
		code string
	}{
		{"a checkpoint", []byte(r.Checkpoint(3)), 0, "kept"},
		{"a receipt", r.Receipt(2, 3), 0, "kept"},
		{"a checkpoint of the fork", []byte(fork.Checkpoint(3)), 1, "kept-contradicted"},
		{"a receipt of the fork", fork.Receipt(2, 3), 1, "kept-contradicted"},
		{"a checkpoint of now by the stolen key", []byte(again), 3, "kept-signature"},
	} {
		for _, text := range []string{r.newTrust, r.oldTrust} {
			o := verify.Options{Trust: trust(t, text), SinceCheckpoint: c.kept}
			rep, err := verify.Pack(bytes.NewReader(b), int64(len(b)), o)
			must(t, err)
			if rep.Exit != c.exit || !slices.ContainsFunc(rep.Findings, func(f verify.Finding) bool { return f.Code == c.code }) {
				t.Errorf("%s: exit %d, want %d with %q\n%s", c.name, rep.Exit, c.exit, c.code, print(rep))
			}
		}
	}
}
