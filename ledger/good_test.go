package ledger

import (
	"bytes"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestNotGood: edits that leave each entry and each promise of the tree as it was,
// and still change what the log answers, or what it shows. No audit says good.
func TestNotGood(t *testing.T) {
	base, opts := newMemory(), testOptions(t)
	l := create(t, base, opts)
	call := decide(t, l, "a", "s", "call", helm.Allow)
	frozen := add(t, l, func(v *View) (*Draft, error) {
		d := decision("a", "s", "call", helm.Deny, v.Now())
		d.Body.(*receipt.Decision).Reason.Code = helm.Frozen
		return d, nil
	})
	add(t, l, func(v *View) (*Draft, error) {
		d := decision("a", "s", "other", helm.Deny, v.Now())
		d.Body.(*receipt.Decision).Reason.Code = helm.Frozen
		return d, nil
	})
	last := decide(t, l, "a", "s", "last", helm.Deny)
	if err := l.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for name, edit := range map[string]func(s *memory){
		"call_id leads to a refusal that forgets it": func(s *memory) {
			for k, v := range s.rows[Calls] {
				if bytes.Equal(v, key8(call.Index)) {
					s.rows[Calls][k] = key8(frozen.Index)
				}
			}
		},
		"call_id that was not looked at": func(s *memory) {
			for k, v := range s.rows[Calls] {
				if bytes.Equal(v, key8(call.Index)) {
					s.rows[Calls][k[:len(k)-len("call")]+"other"] = key8(frozen.Index + 1)
				}
			}
		},
		"payload behind the log": func(s *memory) {
			s.rows[Payloads][string(key8(last.Index+1))] = s.rows[Payloads][string(key8(last.Index))]
		},
		"policy that was never active": func(s *memory) { s.rows[Policies]["01234567890123456789012345678901"] = []byte("x") },
		"second head":                  func(s *memory) { s.rows[Heads]["x"] = s.rows[Heads][""] },
		"second meta":                  func(s *memory) { s.rows[Meta]["x"] = s.rows[Meta]["log"] },
		"head with a member more": func(s *memory) {
			s.rows[Heads][""] = append([]byte(`{"x":1,`), s.rows[Heads][""][1:]...)
		},
		"meta with a member more": func(s *memory) {
			s.rows[Meta]["log"] = append([]byte(`{"x":1,`), s.rows[Meta]["log"][1:]...)
		},
		"key id of another key": func(s *memory) {
			row := bytes.Clone(s.rows[Entries][string(key8(last.Index))])
			e, err := parseEntry(last.Index, row)
			if err != nil {
				t.Fatal(err)
			}
			row[bytes.Index(row, e.Signatures[0].Sig[:])-1] ^= 1
			s.rows[Entries][string(key8(last.Index))] = row
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := base.copy()
			edit(s)
			_, err := Open(t.Context(), s, opts)
			if err == nil {
				t.Fatal("the audit says good")
			}
			t.Log(err)
		})
	}
}

// TestCheckVerifiesTheHead: also when the head was edited after the log was opened.
func TestCheckVerifiesTheHead(t *testing.T) {
	s := newMemory()
	l := create(t, s, testOptions(t))
	decide(t, l, "a", "s", "1", helm.Deny)
	s.edit(t, func(h *headRow) { h.Checkpoint = h.Checkpoint[:len(h.Checkpoint)-9] + "AAAAAAA=\n" })
	if err := l.Check(t.Context(), nil); err == nil {
		t.Fatal("the audit says good")
	}
}
