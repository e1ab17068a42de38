package receipt_test

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// Every parser of this package keeps one promise: what it accepts, it prints again
// byte for byte. More seeds, made of attacks, are in testdata/fuzz.

func FuzzParseStatement(f *testing.F) {
	for _, e := range newSampleLog().entries {
		f.Add(e.bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := receipt.ParseStatement(data)
		if err != nil {
			return
		}
		if again, err := st.Marshal(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s\nprints as\n%s\n%v", data, again, err)
		}
		// A stock JSON reader sees no two members of one name and no lost character.
		if _, err := strictjson.Parse(data); err != nil {
			t.Fatalf("%s is not strict JSON: %v", data, err)
		}
		leaf := st.Leaf(data)
		if again, err := receipt.ParseLeaf(leaf.Marshal()); err != nil || !reflect.DeepEqual(again, leaf) {
			t.Fatalf("its leaf %q is refused: %v", leaf.Marshal(), err)
		}
	})
}

func FuzzParseEnvelope(f *testing.F) {
	l := newSampleLog()
	for _, e := range l.entries {
		f.Add(must(e.envelope.Marshal()))
	}
	f.Add(bytes.TrimSuffix(l.receipt(l.entries[3]), []byte("\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		env, err := receipt.ParseEnvelope(data)
		if err != nil {
			return
		}
		if again, err := env.Marshal(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s\nprints as\n%s\n%v", data, again, err)
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	for _, e := range newSampleLog().entries {
		f.Add(e.leaf)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if leaf, err := receipt.ParseLeaf(data); err == nil && !bytes.Equal(leaf.Marshal(), data) {
			t.Fatalf("%q prints as %q", data, leaf.Marshal())
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	l := newSampleLog()
	for size := range 22 {
		f.Add(must(receipt.SignCheckpoint(oldKey, l.checkpoint(size))))
	}
	f.Fuzz(func(t *testing.T, signed string) {
		c, signatures, err := receipt.ParseCheckpoint(signed)
		if err != nil {
			return
		}
		if c.Text()+"\n"+signatures != signed {
			t.Fatalf("%q prints as %q", signed, c.Text()+"\n"+signatures)
		}
		if got, err := receipt.VerifyCheckpoint(signed, c.Origin, public(oldKey)); err == nil && got != c {
			t.Fatalf("%q is verified as %+v", signed, got)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	l := newSampleLog()
	l.key = oldKey
	for size := 1; size < 21; size++ {
		f.Add(l.proof(size/2, size).Marshal())
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := receipt.ParseProof(text)
		if err != nil {
			return
		}
		if again := p.Marshal(); again != text {
			t.Fatalf("%q prints as %q", text, again)
		}
		c, _, err := receipt.ParseCheckpoint(p.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Includes(receipt.Hash{}, c)
	})
}

func FuzzParseVKey(f *testing.F) {
	f.Add(receipt.VKey("helm.local/0123456789abcdef0123456789abcdef", public(oldKey)))
	f.Add(receipt.VKey("a", public(newKey)))
	f.Fuzz(func(t *testing.T, s string) {
		if origin, pub, err := receipt.ParseVKey(s); err == nil && receipt.VKey(origin, pub) != s {
			t.Fatalf("%q prints as %q", s, receipt.VKey(origin, pub))
		}
	})
}

func FuzzParseDisclosure(f *testing.F) {
	for _, v := range distinctValues {
		p := newPayload("fuzz", v)
		d := receipt.Disclose(1, &p.secret, p.lines)
		f.Add(must(d.Marshal()))
		for i := len(d.Lines) - 1; i > 0; i-- {
			d.Close(i)
		}
		f.Add(must(d.Marshal()))
	}
	for _, a := range shapeAttacks {
		d, _ := a.disclosure()
		f.Add(must(d.Marshal()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := receipt.ParseDisclosure(data)
		if err != nil {
			return
		}
		if again, err := d.Marshal(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%s\nprints as\n%s\n%v", data, again, err)
		}
		if d.Verify(sha256.Sum256(d.FieldsFile())) != nil {
			return
		}
		v, whole := d.Value()
		if !whole {
			return
		}
		// What is open and has the shape of a value is the one flattening of that value.
		lines, err := receipt.Flatten(v)
		if err != nil {
			t.Fatalf("%s is a value that cannot be flattened: %v", data, err)
		}
		for i := range lines {
			if !reflect.DeepEqual(lines[i], d.Lines[i].Line) {
				t.Fatalf("line %d is %s, and of the value %s", i, d.Lines[i].Line.Append(nil), lines[i].Append(nil))
			}
		}
		if again, err := strictjson.Parse(v.Append(nil)); err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%s is not a value that the strict reader reads: %v", v.Append(nil), err)
		}
	})
}

// FuzzCommitment takes any value all the way: flatten, commit, disclose, hide, print,
// parse, verify, and put together again. hide says from which line on to close, and
// which lines after it to leave open.
func FuzzCommitment(f *testing.F) {
	for i, v := range distinctValues {
		f.Add([]byte(v), uint64(i*2654435761))
	}
	f.Fuzz(func(t *testing.T, value []byte, hide uint64) {
		v, err := strictjson.Parse(value)
		if err != nil {
			return
		}
		lines, err := receipt.Flatten(v)
		if err != nil {
			return
		}
		secret := receipt.Secret(fixed("fuzz"))
		commitment := receipt.Commit(&secret, lines)
		d := receipt.Disclose(hide>>11, &secret, lines)
		closed := map[string]bool{}
		for i := len(lines) - 1; i > 0; i-- {
			if hide>>(i%64)&1 == 1 {
				closed[lines[i].Pointer] = true
			}
		}
		for i := range lines {
			for p := range closed {
				if bytes.HasPrefix([]byte(lines[i].Pointer), []byte(p+"/")) || lines[i].Pointer == p {
					d.Close(i)
					break
				}
			}
		}
		again, err := receipt.ParseDisclosure(must(d.Marshal()))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Verify(commitment); err != nil {
			t.Fatalf("%s, closed %v: %v", value, closed, err)
		}
		if got, whole := again.Value(); whole != (len(closed) == 0) || whole && !reflect.DeepEqual(got, v) {
			t.Fatalf("%s became %s", v.Append(nil), got.Append(nil))
		}
	})
}

func FuzzParsePackFiles(f *testing.F) {
	p := receipt.Pack{Origin: "helm.local/a", Size: 3, Query: receipt.Query{All: true}, Files: []receipt.Subject{{Name: "checkpoint"}}, Window: receipt.Window{End: 3}}
	statement := must(p.Marshal())
	f.Add(statement)
	f.Add(must(receipt.MarshalPackFile(&receipt.Envelope{Payload: statement, Signatures: []receipt.Signature{must(receipt.Sign(oldKey, statement))}})))
	f.Add(must((&receipt.Redaction{Note: "by ana"}).Marshal()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := receipt.ParsePack(data); err == nil {
			if again, err := p.Marshal(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%s\nprints as\n%s\n%v", data, again, err)
			}
		}
		if e, err := receipt.ParsePackFile(data); err == nil {
			if again, err := receipt.MarshalPackFile(e); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%s\nprints as\n%s\n%v", data, again, err)
			}
		}
		if r, err := receipt.ParseRedaction(data); err == nil {
			if again, err := r.Marshal(); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%s\nprints as\n%s\n%v", data, again, err)
			}
		}
	})
}
