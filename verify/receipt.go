package verify

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// Receipt verifies one receipt file: who signed it, and that its entry is in the
// log. call, where it is not nil, is the call that it is about, as in
//
//	{"arguments":{...},"context":{...},"opening":"<the answer's opening>"}
//
// and what the receipt committed to must be exactly that. An error means that the
// files could not be read: exit code 2.
func Receipt(file, call []byte, o Options) (*Report, error) {
	env, st, proof, leaf, err := openReceipt(file)
	if err != nil {
		return nil, err
	}
	at, _, err := receipt.ParseCheckpoint(proof.Checkpoint)
	if err != nil {
		return nil, err
	}
	r := new(reporter)
	rep := &Report{Origin: st.Origin, Size: at.Size, Root: hex.EncodeToString(at.Root[:]), Entries: 1}
	about := func(f *Finding) { f.at(st.Index, leaf) }

	if at.Origin != st.Origin || proof.Index != st.Index {
		about(r.add(Integrity, Wrong, "inclusion", "the statement is entry %d of %s, the proof is of entry %d of %s", st.Index, st.Origin, proof.Index, at.Origin))
	} else if err := proof.Includes(leaf, at); err != nil {
		about(r.add(Integrity, Wrong, "inclusion", "%v", err))
	}
	r.receiptSigner(rep, env, st, proof, o.Trust)
	if r.wrong == 0 && rep.Key != "" {
		about(r.add(Integrity, OK, "intact", "entry %d (%s) is signed and in the log of %d entries", st.Index, st.Body.Kind(), at.Size))
	}
	if a, ok := st.Body.(*receipt.Approval); ok && a.Grade == receipt.GradeSSH {
		r.signedAlone(st, a, leaf, o.Approvers)
	}
	if call != nil {
		if err := r.checkCall(st, call); err != nil {
			return nil, err
		}
	}
	r.add(Witnesses, Info, "no-witness", "a single receipt does not show what else is in the log, nor that everybody was shown the same log")
	if o.Trust != nil && o.Trust.Quorum != noQuorum {
		r.add(Witnesses, NotProved, "witnesses", "the trust file asks for the witnesses of %q: this version verifies no cosignature", o.Trust.Quorum)
	}
	r.add(Time, Info, "operator-clock", "its time is the operator's clock, %s: nobody outside confirms it", receipt.FormatTime(st.Time))
	r.finish(rep, o.AllowPartial)
	return rep, nil
}

// receiptSigner verifies both signatures with the keys of the trust file. After a
// change of keys they can be of two.
func (r *reporter) receiptSigner(rep *Report, env *receipt.Envelope, st *receipt.Statement, proof *receipt.Proof, trust *Trust) {
	var statement, checkpoint, named, claimed bool
	if trust != nil {
		for _, l := range trust.Logs {
			if l.Origin != st.Origin {
				continue
			}
			named = true
			if s := &env.Signatures[0]; s.KeyID == receipt.KeyID(l.Key) {
				claimed = true
				if s.Verify(l.Key, env.Payload) {
					statement = true
					rep.Key = s.KeyID
				}
			}
			if _, err := receipt.VerifyCheckpoint(proof.Checkpoint, st.Origin, l.Key); err == nil {
				checkpoint = true
			}
		}
	}
	if statement {
		if err := checkCosigner(st, env); err != nil {
			r.add(Integrity, Wrong, "entry-signature", "%v", err)
		}
	}
	switch {
	case statement && checkpoint:
		r.add(Signer, OK, "signer", "the trust file names the key %s for the log %s", rep.Key, st.Origin)
	case checkpoint && !claimed:
		r.add(Signer, NotProved, "signer-statement", "the checkpoint is signed by the key that the trust file names for the log %s, and this statement is in it; the statement says that it is signed by another key, %s, which was not verified. A pack shows whether that was the log's key before", st.Origin, env.Signatures[0].KeyID)
	case named:
		r.add(Signer, Wrong, "signer-other", "the statement or its checkpoint is not signed by the key that the trust file names for the log %s: it is by one that was replaced, whose holder is no longer believed, by one that came later, or by a forger's. A receipt does not show a change of keys, a pack does", st.Origin)
	default:
		r.add(Signer, NotProved, "signer-unknown", "a receipt does not hold its signer's key: bring a trust file that names the log %s. No signature was verified; the hint says %s", st.Origin, env.Signatures[0].KeyID)
	}
}

// openReceipt reads a receipt file. The signature is not verified: only a trust
// file knows the key.
func openReceipt(file []byte) (env *receipt.Envelope, st *receipt.Statement, proof *receipt.Proof, leaf receipt.Hash, err error) {
	if len(file) == 0 || file[len(file)-1] != '\n' {
		return nil, nil, nil, leaf, errors.New("a receipt file is one line that ends in a newline")
	}
	if env, err = receipt.ParseEnvelope(file[:len(file)-1]); err != nil {
		return nil, nil, nil, leaf, err
	}
	if env.Proof == "" {
		return nil, nil, nil, leaf, errors.New("the envelope has no proof of inclusion: it is not a receipt")
	}
	if st, err = receipt.ParseStatement(env.Payload); err != nil {
		return nil, nil, nil, leaf, err
	}
	if proof, err = receipt.ParseProof(env.Proof); err != nil {
		return nil, nil, nil, leaf, err
	}
	return env, st, proof, st.Leaf(env.Payload).Hash(), nil
}

// checkCall recomputes the commitment out of the call and its opening.
func (r *reporter) checkCall(st *receipt.Statement, call []byte) error {
	v, err := strictjson.Parse(call)
	if err != nil {
		return fmt.Errorf("the call: %w", err)
	}
	if v.Kind != strictjson.Object {
		return errors.New("the call is not a JSON object")
	}
	for _, m := range v.Members {
		if m.Name != "arguments" && m.Name != "context" && m.Name != "opening" {
			return fmt.Errorf("the call has the member %q: arguments, context and opening are known", m.Name)
		}
	}
	arguments, ok := v.Get("arguments")
	opening, ok2 := v.Get("opening")
	if !ok || !ok2 || opening.Kind != strictjson.String {
		return errors.New("the call must have arguments and the opening that the answer gave")
	}
	var secret receipt.Secret
	if err := receipt.DecodeBase64(secret[:], opening.Text); err != nil {
		return fmt.Errorf("the call's opening: %w", err)
	}
	context, _ := v.Get("context")
	lines, err := receipt.Flatten(receipt.Input(arguments, context))
	if err != nil {
		return fmt.Errorf("the call: %w", err)
	}
	switch commitment := receipt.Commit(&secret, lines); {
	case st.Subject.Name != receipt.SubjectInput:
		r.add(Integrity, Wrong, "call", "entry %d is a %s: it commits to no call", st.Index, st.Body.Kind())
	case commitment != st.Subject.SHA256:
		r.add(Integrity, Wrong, "call", "entry %d is about another call: these arguments, context and opening lead to the commitment %x, the statement has %x", st.Index, commitment, st.Subject.SHA256)
	default:
		r.add(Integrity, OK, "call", "entry %d is about exactly this call", st.Index)
	}
	return nil
}
