package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	merkletest "github.com/transparency-dev/merkle/testonly"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

var update = flag.Bool("update", false, "rewrite spec/vectors and the examples in spec/")

const vectorDir = "../spec/vectors"

// The files of spec/vectors, which its README.md describes. Bytes that are not UTF-8
// stand in the member with _base64 behind its name.
type (
	keysFile struct {
		Origin    string      `json:"origin"`
		StreamKey string      `json:"stream_key"`
		Keys      []vectorKey `json:"keys"`
	}
	vectorKey struct {
		Name   string `json:"name"`
		Seed   string `json:"seed_hex"`
		Public string `json:"public_hex"`
		KeyID  string `json:"keyid"`
		VKey   string `json:"vkey"`
		PEM    string `json:"pem"`
	}
	valuesFile struct {
		Good []struct {
			In  string `json:"in"`
			Out string `json:"out"`
		} `json:"good"`
		Bad []badVector `json:"bad"`
	}
	badVector struct {
		Why    string `json:"why"`
		In     string `json:"in,omitempty"`
		Base64 string `json:"in_base64,omitempty"`
	}
	statementsFile struct {
		Good []goodStatement `json:"good"`
		Bad  []badVector     `json:"bad"`
	}
	goodStatement struct {
		Name      string `json:"name"`
		Statement string `json:"statement"`
		SHA256    string `json:"sha256"`
		Leaf      string `json:"leaf"`
		ID        string `json:"id"`
	}
	envelopesFile struct {
		Good []goodEnvelope `json:"good"`
		Bad  []badVector    `json:"bad"`
	}
	goodEnvelope struct {
		Name     string   `json:"name"`
		Envelope string   `json:"envelope"`
		Keys     []string `json:"keys"` // names of keys.json, one for each signature
	}
	commitment struct {
		Value      string   `json:"value"`
		Opening    string   `json:"opening"`
		Lines      []string `json:"lines"`
		Fields     string   `json:"fields"`
		Commitment string   `json:"commitment"`
	}
	disclosuresFile struct {
		Good []goodDisclosure `json:"good"`
		Bad  []badDisclosed   `json:"bad"`
	}
	goodDisclosure struct {
		Why        string `json:"why"`
		Disclosure string `json:"disclosure"`
		Commitment string `json:"commitment"`
		Value      string `json:"value,omitempty"`
	}
	badDisclosed struct {
		Why        string `json:"why"`
		Disclosure string `json:"disclosure"`
		Commitment string `json:"commitment,omitempty"` // left out where the line cannot be read
	}
	leavesFile struct {
		Good []goodLeaf  `json:"good"`
		Bad  []badVector `json:"bad"`
	}
	goodLeaf struct {
		Leaf string `json:"leaf"`
		Hash string `json:"hash"`
	}
	streamsFile struct {
		StreamKey string         `json:"stream_key"`
		SHA256    string         `json:"stream_key_sha256"`
		Streams   []vectorStream `json:"streams"`
	}
	vectorStream struct {
		Name    string `json:"name"`
		Agent   string `json:"agent,omitempty"`
		Session string `json:"session,omitempty"`
		ID      string `json:"id"`
	}
	checkpointsFile struct {
		Origin string           `json:"origin"`
		Key    string           `json:"key"`
		Good   []goodCheckpoint `json:"good"`
		Bad    []badVector      `json:"bad"`
	}
	goodCheckpoint struct {
		Signed string `json:"checkpoint"`
		Size   uint64 `json:"size"`
		Root   string `json:"root"`
	}
	proofsFile struct {
		Trees []vectorTree  `json:"trees"`
		Good  []vectorProof `json:"good"`
		Bad   []vectorProof `json:"bad"`
	}
	vectorTree struct {
		Leaves []string `json:"leaves_hex"`
		Root   string   `json:"root"`
	}
	vectorProof struct {
		Why   string `json:"why,omitempty"`
		Proof string `json:"proof"`
		Leaf  string `json:"leaf,omitempty"` // left out where the proof cannot be read
	}
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func bad(why string, in []byte) badVector {
	if utf8.Valid(in) {
		return badVector{Why: why, In: string(in)}
	}
	return badVector{Why: why, Base64: b64(in)}
}

func (v badVector) bytes() []byte {
	if v.Base64 != "" {
		return must(base64.StdEncoding.DecodeString(v.Base64))
	}
	return []byte(v.In)
}

// vectors are the files of spec/vectors that this package makes.
func vectors(t *testing.T) map[string]any {
	l := newSampleLog()
	keys := keysFile{Origin: l.origin, StreamKey: b64(l.streamKey[:])}
	for _, k := range []struct {
		name string
		key  ed25519.PrivateKey
	}{{"first", oldKey}, {"second", newKey}} {
		pub := public(k.key)
		keys.Keys = append(keys.Keys, vectorKey{k.name, hex.EncodeToString(k.key.Seed()), hex.EncodeToString(pub), receipt.KeyID(pub), receipt.VKey(l.origin, pub), string(receipt.PublicPEM(pub))})
	}

	var values valuesFile
	for _, in := range []string{`"\u0008\u0009\u000a\u000c\u000d\u0022\u005c\/"`, `"\u0000\u000b\u001F\u007f\u2028"`, `"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"`, `"\ud83d\ude02"`,
		` { "b" : [ 1 , 1.0 , -0 , 1E400 , 9007199254740993 ] , "a" : { } , "" : null } `, "{\"\ufb33\":1,\"\U0001f602\":2,\"\u20ac\":3}"} {
		values.Good = append(values.Good, struct {
			In  string `json:"in"`
			Out string `json:"out"`
		}{in, string(must(strictjson.Parse([]byte(in))).Append(nil))})
	}
	for _, b := range [][2]string{{"a duplicate name", `{"a":1,"a":1}`}, {"a duplicate name in two spellings", `{"a":1,"\u0061":1}`}, {"a lone high surrogate", `"\ud800"`}, {"a lone low surrogate", `"\udc00"`},
		{"surrogates swapped", `"\ude02\ud83d"`}, {"invalid UTF-8", "\"\xff\""}, {"a raw surrogate", "\"\xed\xa0\x80\""}, {"a byte order mark", "\ufeff1"}, {"two values", "{}{}"}, {"nothing", ""},
		{"a leading zero", "01"}, {"a trailing comma", "[1,]"}, {"65 arrays", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"}} {
		values.Bad = append(values.Bad, bad(b[0], []byte(b[1])))
	}

	var statements statementsFile
	var envelopes envelopesFile
	var leaves leavesFile
	for _, e := range l.entries {
		digest := receipt.StatementHash(e.bytes)
		statements.Good = append(statements.Good, goodStatement{e.name, string(e.bytes), hex.EncodeToString(digest[:]), string(e.leaf), hex.EncodeToString(e.id[:])})
		leaves.Good = append(leaves.Good, goodLeaf{string(e.leaf), hex.EncodeToString(e.id[:])})
		signers := []string{"first"}
		switch e.name {
		case "key":
			signers = []string{"first", "second"}
		case "policy-after-key", "decision-shadowed":
			signers = []string{"second"}
		}
		envelopes.Good = append(envelopes.Good, goodEnvelope{e.name, string(must(e.envelope.Marshal())), signers})
	}
	envelopes.Good = append(envelopes.Good, goodEnvelope{"receipt of decision-allow", string(bytes.TrimSuffix(l.receipt(l.entry("decision-allow")), []byte("\n"))), []string{"first"}})
	for _, b := range badStatements {
		statements.Bad = append(statements.Bad, bad(b.why, change(t, l, b.of, b.old, b.new)))
	}
	for _, b := range badEnvelopes {
		envelopes.Bad = append(envelopes.Bad, bad(b.why, changeEnvelope(t, l, b.old, b.new)))
	}
	for _, b := range badLeaves {
		leaves.Bad = append(leaves.Bad, bad(b.why, changeLeaf(t, l.entry("outcome-ok").leaf, b.old, b.new)))
	}

	var commitments []commitment
	for _, v := range distinctValues {
		p := newPayload("commitment", v)
		c := commitment{Value: v, Opening: b64(p.secret[:]), Fields: string(receipt.FieldsFile(&p.secret, p.lines))}
		for i := range p.lines {
			c.Lines = append(c.Lines, string(p.lines[i].Append(nil)))
		}
		sum := p.commitment()
		c.Commitment = hex.EncodeToString(sum[:])
		commitments = append(commitments, c)
	}

	streams := streamsFile{StreamKey: keys.StreamKey}
	sum := l.streamKey.Hash()
	streams.SHA256 = b64(sum[:])
	for _, s := range []vectorStream{{Name: "control"}, {Name: "agent", Agent: "agent.demo.exec"}, {Name: "session", Agent: "agent.demo.exec", Session: "s1"},
		{Name: "agent", Agent: "control"}, {Name: "agent", Agent: `a","b`}, {Name: "session", Agent: "a", Session: `b\`}} {
		id := streamID(&l.streamKey, s)
		s.ID = b64(id[:])
		streams.Streams = append(streams.Streams, s)
	}

	checkpoints := checkpointsFile{Origin: l.origin, Key: "first"}
	for _, size := range []int{0, 1, 2, 3, 7, 20, 21} {
		c := l.checkpoint(size)
		checkpoints.Good = append(checkpoints.Good, goodCheckpoint{must(receipt.SignCheckpoint(oldKey, c)), c.Size, b64(c.Root[:])})
	}
	for _, b := range badCheckpoints {
		checkpoints.Bad = append(checkpoints.Bad, bad(b.why, []byte(changeCheckpoint(t, l, b.old, b.new, b.resign))))
	}
	return map[string]any{"keys.json": keys, "values.json": values, "statements.json": statements, "envelopes.json": envelopes, "leaves.json": leaves,
		"commitments.json": commitments, "disclosures.json": disclosureVectors(t), "streams.json": streams, "checkpoints.json": checkpoints, "proofs.json": proofVectors(t, l)}
}

func streamID(k *receipt.StreamKey, s vectorStream) receipt.Hash {
	switch s.Name {
	case receipt.StreamAgent:
		return k.Agent(s.Agent)
	case receipt.StreamSession:
		return k.Session(s.Agent, s.Session)
	}
	return k.Control()
}

func disclosureVectors(t *testing.T) (f disclosuresFile) {
	p, d := testDisclosure(t)
	sum := p.commitment()
	commitment := hex.EncodeToString(sum[:])
	add := func(why string, hide ...int) {
		for _, i := range hide {
			d.Close(i)
		}
		v := goodDisclosure{Why: why, Disclosure: string(must(d.Marshal())), Commitment: commitment}
		if value, whole := d.Value(); whole {
			v.Value = string(value.Append(nil))
		}
		f.Good = append(f.Good, v)
	}
	add("everything is open")
	add("a string is hidden", 6)
	add("an element is hidden", 4)
	add("an object and its field are hidden, around a sibling that sorts between", 5, 1)
	add("all fields are hidden: their names and number are not", 3, 2)
	add("the whole value is hidden", 0)
	for _, a := range shapeAttacks {
		d, sum := a.disclosure()
		f.Bad = append(f.Bad, badDisclosed{a.why, string(must(d.Marshal())), hex.EncodeToString(sum[:])})
	}
	other := fixed("another commitment")
	f.Bad = append(f.Bad, badDisclosed{"another commitment", f.Good[0].Disclosure, hex.EncodeToString(other[:])})
	for _, b := range badDisclosures {
		if line := badDisclosure(b.line); len(line) < 10_000 {
			f.Bad = append(f.Bad, badDisclosed{Why: b.why, Disclosure: line})
		}
	}
	return f
}

func proofVectors(t *testing.T, l *sampleLog) (f proofsFile) {
	var leaves []string
	for i, root := range merkletest.RootHashes() {
		f.Trees = append(f.Trees, vectorTree{append([]string{}, leaves...), b64(root)})
		if i < 8 {
			leaves = append(leaves, hex.EncodeToString(merkletest.LeafInputs()[i]))
		}
	}
	l.key = oldKey
	for _, at := range [][2]int{{0, 1}, {0, 2}, {1, 2}, {2, 3}, {5, 7}, {0, 21}, {5, 21}, {20, 21}} {
		f.Good = append(f.Good, vectorProof{Proof: l.proof(at[0], at[1]).Marshal(), Leaf: string(l.entries[at[0]].leaf)})
	}
	for _, b := range badProofs {
		f.Bad = append(f.Bad, vectorProof{Why: b.why, Proof: changeProof(t, l, b.old, b.new)})
	}
	p, leaf := l.proof(5, 21), string(l.entries[5].leaf)
	wrong := func(why, leaf string, p receipt.Proof) {
		f.Bad = append(f.Bad, vectorProof{why, p.Marshal(), leaf})
	}
	wrong("the leaf of another entry", string(l.entries[6].leaf), *p)
	q := *p
	q.Index = 4
	wrong("another index", leaf, q)
	q.Index = 21
	wrong("an index outside", leaf, q)
	q = *p
	q.Hashes = q.Hashes[1:]
	wrong("a hash less", leaf, q)
	q.Hashes = append(append([]receipt.Hash{}, p.Hashes...), receipt.Hash{})
	wrong("a hash more", leaf, q)
	q.Hashes = append([]receipt.Hash{p.Hashes[1], p.Hashes[0]}, p.Hashes[2:]...)
	wrong("two hashes swapped", leaf, q)
	q = *p
	q.Checkpoint = l.proof(5, 20).Checkpoint
	wrong("the checkpoint of another size", leaf, q)
	return f
}

// TestVectors holds spec/vectors to what the code makes; -update rewrites them.
func TestVectors(t *testing.T) {
	for name, v := range vectors(t) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(vectorDir, name)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, b.Bytes()) {
			t.Errorf("%s is not what the code makes (go test ./receipt -update rewrites it; a format that is published does not change): %v", path, err)
		}
	}
}

func load[T any](t *testing.T, name string) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(must(os.ReadFile(filepath.Join(vectorDir, name)))))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// TestVectorsHold runs the files as another implementation would: from what is in
// them, and nothing else.
func TestVectorsHold(t *testing.T) {
	keys := load[keysFile](t, "keys.json")
	byName := map[string]ed25519.PublicKey{}
	for _, k := range keys.Keys {
		pub := ed25519.PublicKey(unhex(k.Public))
		byName[k.Name] = pub
		if !pub.Equal(ed25519.NewKeyFromSeed(unhex(k.Seed)).Public()) || receipt.KeyID(pub) != k.KeyID || receipt.VKey(keys.Origin, pub) != k.VKey || string(receipt.PublicPEM(pub)) != k.PEM {
			t.Errorf("key %s does not fit together", k.Name)
		}
	}

	values := load[valuesFile](t, "values.json")
	for _, v := range values.Good {
		if got, err := strictjson.Parse([]byte(v.In)); err != nil || string(got.Append(nil)) != v.Out {
			t.Errorf("value %s: %s, %v", v.In, got.Append(nil), err)
		}
	}
	for _, v := range values.Bad {
		_, err := strictjson.Parse(v.bytes())
		refuses(t, v.Why, err, "")
	}

	statements := load[statementsFile](t, "statements.json")
	for _, v := range statements.Good {
		st, err := receipt.ParseStatement([]byte(v.Statement))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		leaf := st.Leaf([]byte(v.Statement))
		if fmt.Sprintf("%x", receipt.StatementHash([]byte(v.Statement))) != v.SHA256 || string(leaf.Marshal()) != v.Leaf || fmt.Sprintf("%x", leaf.Hash()) != v.ID {
			t.Errorf("%s: its hash, leaf or id is another", v.Name)
		}
	}
	for _, v := range statements.Bad {
		_, err := receipt.ParseStatement(v.bytes())
		refuses(t, v.Why, err, "")
	}

	envelopes := load[envelopesFile](t, "envelopes.json")
	for _, v := range envelopes.Good {
		env, err := receipt.ParseEnvelope([]byte(v.Envelope))
		if err != nil || len(env.Signatures) != len(v.Keys) {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		for i, name := range v.Keys {
			if !env.Signatures[i].Verify(byName[name], env.Payload) {
				t.Errorf("%s: signature %d is not that of the key %s", v.Name, i+1, name)
			}
		}
	}
	for _, v := range envelopes.Bad {
		_, err := receipt.ParseEnvelope(v.bytes())
		refuses(t, v.Why, err, "")
	}

	leaves := load[leavesFile](t, "leaves.json")
	for _, v := range leaves.Good {
		if leaf, err := receipt.ParseLeaf([]byte(v.Leaf)); err != nil || fmt.Sprintf("%x", leaf.Hash()) != v.Hash {
			t.Errorf("leaf %q: %v", v.Leaf, err)
		}
	}
	for _, v := range leaves.Bad {
		_, err := receipt.ParseLeaf(v.bytes())
		refuses(t, v.Why, err, "")
	}

	for _, v := range load[[]commitment](t, "commitments.json") {
		var secret receipt.Secret
		if err := receipt.DecodeBase64(secret[:], v.Opening); err != nil {
			t.Fatal(err)
		}
		lines := must(receipt.Flatten(must(strictjson.Parse([]byte(v.Value)))))
		for i := range lines {
			if i >= len(v.Lines) || string(lines[i].Append(nil)) != v.Lines[i] {
				t.Errorf("%s: line %d is %s", v.Value, i, lines[i].Append(nil))
			}
		}
		if len(lines) != len(v.Lines) || string(receipt.FieldsFile(&secret, lines)) != v.Fields || fmt.Sprintf("%x", receipt.Commit(&secret, lines)) != v.Commitment {
			t.Errorf("%s: its fields file or commitment is another", v.Value)
		}
	}

	disclosures := load[disclosuresFile](t, "disclosures.json")
	for _, v := range disclosures.Good {
		d, err := receipt.ParseDisclosure([]byte(v.Disclosure))
		if err == nil {
			err = d.Verify(receipt.Hash(unhex(v.Commitment)))
		}
		if err != nil {
			t.Errorf("%s: %v", v.Why, err)
			continue
		}
		if value, whole := d.Value(); whole != (v.Value != "") || whole && string(value.Append(nil)) != v.Value {
			t.Errorf("%s: the value is %s", v.Why, value.Append(nil))
		}
	}
	for _, v := range disclosures.Bad {
		d, err := receipt.ParseDisclosure([]byte(v.Disclosure))
		if v.Commitment != "" && err != nil {
			t.Errorf("%s: it can be read, and is not: %v", v.Why, err)
		} else if v.Commitment != "" {
			err = d.Verify(receipt.Hash(unhex(v.Commitment)))
		}
		refuses(t, v.Why, err, "")
	}

	streams := load[streamsFile](t, "streams.json")
	var key receipt.StreamKey
	if err := receipt.DecodeBase64(key[:], streams.StreamKey); err != nil {
		t.Fatal(err)
	}
	if sum := key.Hash(); b64(sum[:]) != streams.SHA256 {
		t.Error("the hash of the stream key is another")
	}
	for _, s := range streams.Streams {
		if id := streamID(&key, s); b64(id[:]) != s.ID {
			t.Errorf("the id of the stream %+v is %s", s, b64(id[:]))
		}
	}

	checkpoints := load[checkpointsFile](t, "checkpoints.json")
	for _, v := range checkpoints.Good {
		if c, err := receipt.VerifyCheckpoint(v.Signed, checkpoints.Origin, byName[checkpoints.Key]); err != nil || c.Size != v.Size || b64(c.Root[:]) != v.Root {
			t.Errorf("checkpoint of size %d: %+v, %v", v.Size, c, err)
		}
	}
	for _, v := range checkpoints.Bad {
		_, err := receipt.VerifyCheckpoint(string(v.bytes()), checkpoints.Origin, byName[checkpoints.Key])
		refuses(t, v.Why, err, "")
	}

	proofs := load[proofsFile](t, "proofs.json")
	verify := func(v vectorProof) (err error) {
		p, err := receipt.ParseProof(v.Proof)
		if err != nil {
			if v.Leaf != "" {
				t.Errorf("%s: it can be read, and is not: %v", v.Why, err)
			}
			return err
		}
		c, err := receipt.VerifyCheckpoint(p.Checkpoint, checkpoints.Origin, byName[checkpoints.Key])
		if err != nil {
			return err
		}
		return p.Includes(receipt.LeafHash([]byte(v.Leaf)), c)
	}
	for _, v := range proofs.Good {
		if err := verify(v); err != nil {
			t.Errorf("proof of %q: %v", v.Leaf, err)
		}
	}
	for _, v := range proofs.Bad {
		refuses(t, v.Why, verify(v), "")
	}
	for _, v := range proofs.Trees {
		l := &sampleLog{}
		for _, leaf := range v.Leaves {
			l.grow(unhex(leaf))
		}
		if c := l.checkpoint(len(v.Leaves)); b64(c.Root[:]) != v.Root {
			t.Errorf("the root of %v is %s", v.Leaves, b64(c.Root[:]))
		}
	}
}
