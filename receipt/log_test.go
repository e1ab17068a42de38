package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	formatlog "github.com/transparency-dev/formats/log"
	formatproof "github.com/transparency-dev/formats/proof"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	merkletest "github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func TestLeaves(t *testing.T) {
	l := newSampleLog()
	e := l.entry("decision-allow")
	digest := sha256.Sum256(e.bytes)
	want := "helm/leaf/v1 decision\n" + base64.StdEncoding.EncodeToString(digest[:]) + "\n"
	for _, s := range e.statement.Streams {
		want += fmt.Sprintf("%s %d\n", base64.StdEncoding.EncodeToString(s.ID[:]), s.Seq)
	}
	if string(e.leaf) != want {
		t.Errorf("leaf\n%s\nwant\n%s", e.leaf, want)
	}
	if sum := sha256.Sum256(append([]byte{0}, e.leaf...)); e.id != sum {
		t.Errorf("leaf hash %x, want %x", e.id, sum)
	}
	for _, e := range l.entries {
		leaf, err := receipt.ParseLeaf(e.leaf)
		if err != nil || !bytes.Equal(leaf.Marshal(), e.leaf) {
			t.Errorf("%s: ParseLeaf: %v", e.name, err)
		}
		for i := range e.leaf {
			for _, mutant := range [][]byte{slices.Delete(slices.Clone(e.leaf), i, i+1), slices.Insert(slices.Clone(e.leaf), i, e.leaf[i]), slices.Insert(slices.Clone(e.leaf), i, '0'), e.leaf[:i],
				slices.Replace(slices.Clone(e.leaf), i, i+1, e.leaf[i]^1), slices.Replace(slices.Clone(e.leaf), i, i+1, '\r')} {
				if leaf, err := receipt.ParseLeaf(mutant); err == nil && !bytes.Equal(leaf.Marshal(), mutant) {
					t.Fatalf("%q is read, and prints as %q", mutant, leaf.Marshal())
				}
			}
		}
	}
}

var badLeaves = []struct{ why, old, new, says string }{
	{"nothing", "ALL", "", "first line"},
	{"another version", "leaf/v1", "leaf/v2", "first line"},
	{"no kind", "v1 outcome", "v1 ", "first line"},
	{"an upper case kind", "outcome", "Outcome", "first line"},
	{"two spaces", "v1 outcome", "v1  outcome", "first line"},
	{"a space at the end of a line", "outcome\n", "outcome \n", "first line"},
	{"CRLF", "outcome\n", "outcome\r\n", "first line"},
	{"an empty line", "outcome\n", "outcome\n\n", "statement"},
	{"a line more", "END", "\n", "stream id"},
	{"no LF at the end", "END", "-1", "newline"},
	{"no stream", "STREAMS", "", "0 streams"},
	{"three streams", "STREAMS", "STREAMS3", ""},
	{"no seq", " 2\n", "\n", "seq"},
	{"a seq of 0", " 2\n", " 0\n", "seq"},
	{"a seq with a leading zero", " 2\n", " 02\n", "seq"},
	{"a seq with a plus", " 2\n", " +2\n", "seq"},
	{"a seq over 2^53-1", " 2\n", " 9007199254740992\n", "seq"},
	{"a tab for a space", " 2\n", "\t2\n", ""},
	{"something behind the seq", " 2\n", " 2 x\n", "seq"},
	{"base64 without padding", "= 2", " 2", "stream id"},
	{"too long", "outcome", strings.Repeat("d", 110), "at most 256"},
}

func changeLeaf(t *testing.T, leaf []byte, old, new string) []byte {
	t.Helper()
	lines := strings.SplitAfter(string(leaf), "\n")
	streams := lines[2] + lines[3]
	s := strings.NewReplacer("STREAMS3", streams+lines[3], "STREAMS", streams, "ALL", string(leaf))
	switch {
	case new == "-1":
		return leaf[:len(leaf)-1]
	case old == "END":
		return []byte(string(leaf) + new)
	case !strings.Contains(string(leaf), s.Replace(old)):
		t.Fatalf("the leaf has no %q", old)
	}
	return []byte(strings.Replace(string(leaf), s.Replace(old), s.Replace(new), 1))
}

func TestLeavesAreStrict(t *testing.T) {
	leaf := newSampleLog().entry("outcome-ok").leaf
	for _, tt := range badLeaves {
		_, err := receipt.ParseLeaf(changeLeaf(t, leaf, tt.old, tt.new))
		refuses(t, tt.why, err, tt.says)
	}
}

func TestStreamIDs(t *testing.T) {
	k := receipt.StreamKey(fixed("stream key"))
	mac := func(text string) receipt.Hash {
		m := hmac.New(sha256.New, k[:])
		m.Write([]byte(text))
		return receipt.Hash(m.Sum(nil))
	}
	ids := map[receipt.Hash]string{}
	for _, tt := range []struct {
		got  receipt.Hash
		text string
	}{
		{k.Control(), `["helm/stream/v1","control"]`},
		{k.Agent("a"), `["helm/stream/v1","agent","a"]`},
		{k.Session("a", "b"), `["helm/stream/v1","session","a","b"]`},
		{k.Agent("control"), `["helm/stream/v1","agent","control"]`},
		{k.Agent(`a","b`), `["helm/stream/v1","agent","a\",\"b"]`},
		{k.Session(`a","b`, "c"), `["helm/stream/v1","session","a\",\"b","c"]`},
		{k.Session("a", `b","c`), `["helm/stream/v1","session","a","b\",\"c"]`},
	} {
		if tt.got != mac(tt.text) {
			t.Errorf("the id of %s is %x", tt.text, tt.got)
		}
		if other, twice := ids[tt.got]; twice {
			t.Errorf("%s and %s have one id", tt.text, other)
		}
		ids[tt.got] = tt.text
	}
	if k.Hash() != sha256.Sum256(k[:]) {
		t.Error("the hash of the stream key is not its SHA-256")
	}
}

func TestKeys(t *testing.T) {
	pub := public(oldKey)
	der := must(x509.MarshalPKIXPublicKey(pub))
	if got := receipt.PublicPEM(pub); !bytes.Equal(got, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})) {
		t.Errorf("PublicPEM =\n%s", got)
	}
	if got, want := receipt.KeyID(pub), fmt.Sprintf("%x", sha256.Sum256(der)); got != want {
		t.Errorf("KeyID = %s, want %s", got, want)
	}
	const origin = "helm.local/keys"
	vkey := receipt.VKey(origin, pub)
	v := must(note.NewVerifier(vkey))
	if v.Name() != origin {
		t.Errorf("the vkey's name is %q", v.Name())
	}
	got, key, err := receipt.ParseVKey(vkey)
	if err != nil || got != origin || !key.Equal(pub) {
		t.Errorf("ParseVKey = %q, %x, %v", got, key, err)
	}
	hash, key64, _ := strings.Cut(vkey[len(origin)+1:], "+")
	if strings.ToUpper(hash) == hash || !strings.Contains(key64, "+") {
		t.Fatalf("the vkey %s has no letter in its hash or no plus in its key", vkey)
	}
	for _, e := range []struct{ why, vkey string }{
		{"nothing", ""},
		{"a name", origin},
		{"an LF at the end", vkey + "\n"},
		{"a space before it", " " + vkey},
		{"an upper case hash", origin + "+" + strings.ToUpper(hash) + "+" + key64},
		{"another name", "x" + vkey},
		{"an upper case name", must(renamed("Helm.local", pub))},
		{"another hash", strings.Replace(vkey, "+", "+0", 1)},
		{"a short key", vkey[:len(vkey)-4]},
		{"a URL alphabet", origin + "+" + hash + "+" + strings.ReplaceAll(key64, "+", "-")},
		{"a cosigner's key", must(cosigner("helm.local", pub))},
		{"a long key", must(renamed(origin, append(slices.Clone(pub), 0)))},
		{"a line break in the key", vkey[:len(vkey)-8] + "\n" + vkey[len(vkey)-8:]},
	} {
		_, _, err := receipt.ParseVKey(e.vkey)
		refuses(t, e.why, err, "")
	}
}

// renamed is a verifier key with a right hash for any name and key.
func renamed(name string, key []byte) (string, error) {
	return vkeyOf(name, append([]byte{1}, key...)), nil
}
func cosigner(name string, key []byte) (string, error) {
	return vkeyOf(name, append([]byte{4}, key...)), nil
}

func vkeyOf(name string, raw []byte) string {
	h := sha256.Sum256([]byte(name + "\n" + string(raw)))
	return fmt.Sprintf("%s+%x+%s", name, h[:4], base64.StdEncoding.EncodeToString(raw))
}

func TestCheckpoints(t *testing.T) {
	l := newSampleLog()
	for size := range len(l.entries) + 1 {
		c := l.checkpoint(size)
		signed := must(receipt.SignCheckpoint(oldKey, c))
		got, err := receipt.VerifyCheckpoint(signed, l.origin, public(oldKey))
		if err != nil || got != c {
			t.Fatalf("VerifyCheckpoint = %+v, %v", got, err)
		}
		n := must(note.Open([]byte(signed), note.VerifierList(must(note.NewVerifier(receipt.VKey(l.origin, public(oldKey)))))))
		if n.Text != c.Text() || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
			t.Fatalf("note.Open = %+v", n)
		}
		foreign, _, _, err := formatlog.ParseCheckpoint([]byte(signed), l.origin, must(note.NewVerifier(receipt.VKey(l.origin, public(oldKey)))))
		if err != nil || foreign.Size != uint64(size) || !bytes.Equal(foreign.Hash, c.Root[:]) {
			t.Fatalf("formats reads %+v, %v", foreign, err)
		}
		// What note signs with the same key is the same note.
		skey := note.Signer(noteSigner{l.origin, must(note.NewVerifier(receipt.VKey(l.origin, public(oldKey)))).KeyHash(), oldKey})
		if theirs := must(note.Sign(&note.Note{Text: c.Text()}, skey)); string(theirs) != signed {
			t.Fatalf("note signs\n%s\nwe\n%s", theirs, signed)
		}
	}
	_, err := receipt.SignCheckpoint(oldKey, receipt.Checkpoint{Origin: "Helm"})
	refuses(t, "an origin that is none", err, "origin")
	_, err = receipt.SignCheckpoint(oldKey, receipt.Checkpoint{Origin: "helm", Size: 1 << 53})
	refuses(t, "a size that is too large", err, "over")
	_, err = receipt.SignCheckpoint(brokenSigner{oldKey, fmt.Errorf("gone")}, l.checkpoint(1))
	refuses(t, "a signer's error", err, "gone")
}

type noteSigner struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
}

func (s noteSigner) Name() string                    { return s.name }
func (s noteSigner) KeyHash() uint32                 { return s.hash }
func (s noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// badCheckpoints change the sample log's checkpoint of size 21; the signature under it
// is made again where it says so, as a log's operator could.
var badCheckpoints = []struct {
	why, old, new string
	resign        bool
	says          string
}{
	{"nothing", "ALL", "", false, "signed note"},
	{"no signature", "SIGS", "", false, "signed note"},
	{"no LF at the end", "SIGS", "SIG", false, "newline"},
	{"an LF more", "SIGS", "SIGS\n", false, "not a signature line"},
	{"an extension line", "ROOT\n", "ROOT\nextension\n", true, "extension lines are refused"},
	{"an empty extension line", "ROOT\n", "ROOT\n\nx\n", false, "not a signature line"},
	{"two lines", "ROOT\n", "", true, "2 lines, not 3"},
	{"a size with a leading zero", "\n21\n", "\n021\n", true, "size"},
	{"a size with a plus", "\n21\n", "\n+21\n", true, "size"},
	{"a size with a space", "\n21\n", "\n21 \n", true, "size"},
	{"a negative size", "\n21\n", "\n-21\n", true, "size"},
	{"a size over 2^53-1", "\n21\n", "\n9007199254740992\n", true, "size"},
	{"no size", "\n21\n", "\n", true, ""},
	{"CRLF", "\n21\n", "\r\n21\r\n", false, "origin"},
	{"CRLF after the size", "\n21\n", "\n21\r\n", false, "size"},
	{"an upper case origin", "helm.local", "Helm.local", true, "origin"},
	{"another origin", "helm.local", "helm.other", true, "its origin is"},
	{"a root without padding", "=\n\n", "\n\n", true, "root"},
	{"a root with other trailing bits", "ROOT", "BITS", true, "root"},
	{"a short root", "ROOT", "AAAA", true, "root"},
	{"another size", "\n21\n", "\n20\n", false, "verify checkpoint"},
	{"another root", "ROOT", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false, "verify checkpoint"},
	{"a second note behind", "SIGS", "SIGS\nhelm\n21\nROOT\n\nSIGS", false, "not a signature line"},
	{"the signature twice", "SIGS", "SIGSSIGS", false, "two signature lines"},
	{"a hyphen for the dash", "— ", "- ", false, "not a signature line"},
	{"two spaces", "— helm", "—  helm", false, "not a signature line"},
	{"a signature without padding", "SIGS", "NOPAD", false, "not a signature line"},
	{"a signature by nobody", "SIGS", "—  AAAAAAAA\n", false, "not a signature line"},
	{"a signature by a plus", "SIGS", "— a+b AAAAAAAA\nSIGS", false, "not a signature line"},
	{"a signature of four bytes", "SIGS", "— w AAAAAA==\nSIGS", false, "not a signature line"},
	{"a signature line with a tail", "SIGS", "— w AAAAAAAA x\nSIGS", false, "not a signature line"},
	{"a signature line with a CR", "SIGS", "— w AAAAAAAA\r\nSIGS", false, "not a signature line"},
	{"text among the signatures", "SIGS", "SIGShello\n", false, "not a signature line"},
	{"only a witness's signature", "SIGS", "— w AAAAAAAAAAAA\n", false, "verify checkpoint"},
	{"the signature under another name", "— helm", "— help", false, "verify checkpoint"},
}

func changeCheckpoint(t *testing.T, l *sampleLog, old, new string, resign bool) string {
	t.Helper()
	signed := must(receipt.SignCheckpoint(oldKey, l.checkpoint(21)))
	text, sigs, _ := strings.Cut(signed, "\n\n")
	root := strings.Split(text, "\n")[2]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	bits := root[:42] + string(alphabet[strings.IndexByte(alphabet, root[42])|1]) + "="
	if bits == root {
		t.Fatal("the root's trailing bits are set")
	}
	r := strings.NewReplacer("ROOT", root, "BITS", bits, "SIGSSIGS", sigs+sigs, "SIGS", sigs, "SIG", strings.TrimSuffix(sigs, "\n"), "NOPAD", strings.TrimRight(sigs, "=\n")+"\n", "ALL", signed)
	if !strings.Contains(signed, r.Replace(old)) {
		t.Fatalf("the checkpoint has no %q", old)
	}
	signed = strings.Replace(signed, r.Replace(old), r.Replace(new), 1)
	if resign {
		text, _, _ := strings.Cut(signed, "\n\n")
		origin, _, _ := strings.Cut(text, "\n")
		v := must(note.NewVerifier(receipt.VKey(origin, public(oldKey))))
		signed = string(must(note.Sign(&note.Note{Text: text + "\n"}, noteSigner{origin, v.KeyHash(), oldKey})))
	}
	return signed
}

func TestCheckpointsAreStrict(t *testing.T) {
	l := newSampleLog()
	for _, tt := range badCheckpoints {
		signed := changeCheckpoint(t, l, tt.old, tt.new, tt.resign)
		_, err := receipt.VerifyCheckpoint(signed, l.origin, public(oldKey))
		refuses(t, tt.why, err, tt.says)
	}
	signed := must(receipt.SignCheckpoint(oldKey, l.checkpoint(21)))
	_, err := receipt.VerifyCheckpoint(signed, l.origin, public(newKey))
	refuses(t, "another key", err, "verify checkpoint")
	_, err = receipt.VerifyCheckpoint(signed, "helm.local/other", public(oldKey))
	refuses(t, "another log", err, "its origin is")
	_, _, err = receipt.ParseCheckpoint(strings.Repeat("x", receipt.MaxCheckpointBytes+1))
	refuses(t, "16 KiB and a byte", err, "at most 16384")
	// A statement's signature is not a checkpoint's, nor the reverse.
	if _, err := receipt.VerifyCheckpoint("DSSEv1 28 application/vnd.in-toto+json 3 {}\n\n\n"+signed[strings.Index(signed, "— "):], l.origin, public(oldKey)); err == nil {
		t.Error("a pre-authentication encoding is a checkpoint")
	}
	// Signatures of others are allowed beside the log's own.
	if _, err := receipt.VerifyCheckpoint(signed+"— witness.example AAAAAAAA\n", l.origin, public(oldKey)); err != nil {
		t.Error(err)
	}
}

// The tree is RFC 6962's: the leaves and roots that Certificate Transparency's tests
// have had since the beginning, and every proof of every tree up to 130 leaves against
// somebody else's tree code.
func TestTreeIsRFC6962(t *testing.T) {
	inputs, roots := merkletest.LeafInputs(), merkletest.RootHashes()
	if fmt.Sprintf("%x", roots[8]) != "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" || len(inputs) != 8 {
		t.Fatal("these are not the known vectors")
	}
	l := &sampleLog{origin: "helm.local/tree", key: oldKey}
	for i, in := range inputs {
		if got := receipt.LeafHash(in); !bytes.Equal(got[:], rfc6962.DefaultHasher.HashLeaf(in)) {
			t.Errorf("LeafHash(%x) = %x", in, got)
		}
		l.grow(in)
		if root := l.checkpoint(i + 1).Root; !bytes.Equal(root[:], roots[i+1]) {
			t.Errorf("the root of %d leaves is %x, want %x", i+1, root, roots[i+1])
		}
	}

	const sizes = 130
	theirs := merkletest.New(rfc6962.DefaultHasher)
	l = &sampleLog{origin: "helm.local/tree", key: oldKey}
	var leaves []receipt.Hash
	for size := 1; size <= sizes; size++ {
		data := fmt.Appendf(nil, "leaf %d", size-1)
		theirs.AppendData(data)
		leaves = append(leaves, receipt.LeafHash(data))
		l.grow(data)
		c := receipt.Checkpoint{Origin: l.origin, Size: uint64(size), Root: receipt.Hash(theirs.Hash())}
		if ours := l.checkpoint(size); ours != c {
			t.Fatalf("the roots of %d leaves differ: ours %x, theirs %x", size, ours.Root, c.Root)
		}
		for i := range size {
			p := &receipt.Proof{Index: uint64(i)}
			for _, h := range must(theirs.InclusionProof(uint64(i), uint64(size))) {
				p.Hashes = append(p.Hashes, receipt.Hash(h))
			}
			if err := p.Includes(leaves[i], c); err != nil {
				t.Fatalf("their proof of %d in %d: %v", i, size, err)
			}
			if i%7 == 0 {
				attackProof(t, p, leaves[i], c)
			}
		}
	}
}

// attackProof changes a proof that holds in every way that there is.
func attackProof(t *testing.T, p *receipt.Proof, leaf receipt.Hash, c receipt.Checkpoint) {
	t.Helper()
	bad := func(what string, p receipt.Proof, leaf receipt.Hash, c receipt.Checkpoint) {
		t.Helper()
		var hashes [][]byte
		for i := range p.Hashes {
			hashes = append(hashes, p.Hashes[i][:])
		}
		theirs := merkleproof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, leaf[:], hashes, c.Root[:])
		if err := p.Includes(leaf, c); err == nil || theirs == nil {
			t.Errorf("proof of %d in %d, %s: ours %v, theirs %v", p.Index, c.Size, what, err, theirs)
		}
	}
	q := *p
	q.Hashes = append(slices.Clone(p.Hashes), receipt.Hash{})
	bad("a hash more", q, leaf, c)
	for i := range p.Hashes {
		q.Hashes = slices.Clone(p.Hashes)
		q.Hashes[i][31] ^= 1
		bad("a bit of a hash", q, leaf, c)
		q.Hashes = slices.Delete(slices.Clone(p.Hashes), i, i+1)
		bad("a hash less", q, leaf, c)
	}
	q = *p
	q.Index ^= 1
	if q.Index != p.Index && c.Size > 1 {
		bad("the neighbour's index", q, leaf, c)
	}
	q.Index = c.Size
	bad("an index outside", q, leaf, c)
	refuses(t, "an index outside", q.Includes(leaf, c), "is not in a log of")
	other := leaf
	other[0] ^= 1
	bad("another leaf", *p, other, c)
	c.Root[0] ^= 1
	bad("another root", *p, leaf, c)
}

func TestProofs(t *testing.T) {
	l := newSampleLog()
	for size := 1; size <= 20; size++ { // as long as the first key signs
		for i := range size {
			l.key = oldKey
			p := l.proof(i, size)
			text := p.Marshal()
			got, err := receipt.ParseProof(text)
			if err != nil || got.Marshal() != text {
				t.Fatalf("ParseProof(%s) = %+v, %v", text, got, err)
			}
			c := must(receipt.VerifyCheckpoint(got.Checkpoint, l.origin, public(oldKey)))
			if err := got.Includes(l.entries[i].id, c); err != nil {
				t.Fatal(err)
			}
			// formats reads and writes the same text.
			var foreign formatproof.TLogProof
			if err := foreign.Unmarshal([]byte(text)); err != nil || string(foreign.Marshal()) != text {
				t.Fatalf("formats prints\n%s\nwant\n%s\n%v", foreign.Marshal(), text, err)
			}
			if foreign.Index != p.Index || !slices.Equal(foreign.Hashes, [][32]byte(p.Hashes)) || string(foreign.Checkpoint) != p.Checkpoint {
				t.Fatalf("formats reads %+v", foreign)
			}
		}
	}
}

// badProofs change the sample log's proof of entry 5 in 21.
var badProofs = []struct{ why, old, new, says string }{
	{"nothing", "ALL", "", "does not begin"},
	{"another version", "@v1", "@v2", "does not begin"},
	{"an LF before it", "c2sp.org", "\nc2sp.org", "does not begin"},
	{"an extra line", "v1\nindex", "v1\nextra AAAA\nindex", "does not begin"},
	{"CRLF", "v1\nindex 5\n", "v1\r\nindex 5\r\n", "does not begin"},
	{"CR after the index", "index 5\n", "index 5\r\n", "index"},
	{"no index", "index 5\n", "", "does not begin"},
	{"an index with a leading zero", "index 5\n", "index 05\n", "index"},
	{"an index with a plus", "index 5\n", "index +5\n", "index"},
	{"a negative index", "index 5\n", "index -5\n", "index"},
	{"an index over 2^53-1", "index 5\n", "index 9007199254740992\n", "index"},
	{"two spaces", "index 5\n", "index  5\n", "index"},
	{"a short hash", "HASH\n", "AAAA\n", "hash 1"},
	{"a hash without padding", "HASH\n", "NOPAD\n", "hash 1"},
	{"a hash with a space", "HASH\n", "HASH \n", "hash 1"},
	{"a hash of the URL alphabet", "HASH\n", "-_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "hash 1"},
	{"too many hashes", "HASH\n", "HASH64\n", "at most 63"},
	{"no empty line", "\n\nhelm", "\nhelm", ""},
	{"two empty lines", "\n\nhelm", "\n\n\nhelm", ""},
	{"no checkpoint", "CHECKPOINT", "", "parse checkpoint"},
	{"a checkpoint with an extension", "\n21\n", "\n21\nx\n", "parse checkpoint"},
	{"an unsigned checkpoint", "\n— ", "\n", "parse checkpoint"},
	{"an LF at the end", "END", "\n", "parse checkpoint"},
	{"text at the end", "END", "x", "parse checkpoint"},
}

func changeProof(t *testing.T, l *sampleLog, old, new string) string {
	t.Helper()
	l.key = oldKey
	p := l.proof(5, 21)
	s := p.Marshal()
	hash := base64.StdEncoding.EncodeToString(p.Hashes[0][:])
	r := strings.NewReplacer("CHECKPOINT", p.Checkpoint, "HASH64", strings.TrimSuffix(strings.Repeat(hash+"\n", 64), "\n"), "HASH", hash, "NOPAD", strings.TrimRight(hash, "="), "ALL", s)
	if old == "END" {
		return s + new
	}
	if !strings.Contains(s, r.Replace(old)) {
		t.Fatalf("the proof has no %q", old)
	}
	return strings.Replace(s, r.Replace(old), r.Replace(new), 1)
}

func TestProofsAreStrict(t *testing.T) {
	l := newSampleLog()
	for _, tt := range badProofs {
		_, err := receipt.ParseProof(changeProof(t, l, tt.old, tt.new))
		refuses(t, tt.why, err, tt.says)
	}
}
