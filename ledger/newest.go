package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/budget"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A newest checks a log that is too long to be checked before it is used: what
// decides now, and entries from the newest backwards, with the rows that follow from
// them. What is older is checked in the background.
type newest struct {
	log     *Log
	size    uint64
	key     ed25519.PublicKey // that signed the entries that are looked at next
	streams map[Hash]bool     // whose last entry was seen
	answers map[uint64][]answering
	used    map[uint64]uint64 // index of an ESCALATE -> of the ALLOW that used its approval
	budgets map[string]bool   // whose last decision was seen
}

// An answering is an entry that answers an approval.
type answering struct {
	entry *Entry
	body  *receipt.Approval
}

// checkNewest checks entries from the newest backwards, for a time.
func (l *Log) checkNewest(ctx context.Context, size uint64, limit time.Duration) error {
	began := time.Now()
	if err := l.View(ctx, l.checkControl); err != nil {
		return err
	}
	c := &newest{l, size, l.key, map[Hash]bool{}, map[uint64][]answering{}, map[uint64]uint64{}, map[string]bool{}}
	for hi := size; hi > 0 && time.Since(began) < limit; {
		lo := hi - min(hi, auditChunk)
		if err := l.View(ctx, func(v *View) error { return c.entries(v, lo, hi) }); err != nil {
			return err
		}
		hi = lo
		l.note(func(a *Audit) { a.Newest = size - lo })
	}
	return nil
}

// checkControl checks what the head says of the control stream, whether the boundary
// is frozen and under which policy it stands: the head's row is not signed. The
// newest entry is, and names the head of that stream, whose entries are few.
func (l *Log) checkControl(v *View) error {
	e, st, err := v.Statement(v.head.Size - 1)
	if err != nil {
		return err
	}
	key := l.key
	if k, ok := st.Body.(*receipt.Key); ok {
		key = k.Old[:]
	}
	if _, err := l.checkEntry(e, key); err != nil {
		return err
	}
	at := st.Control
	if st.Body.Kind().Control() {
		at = receipt.Link{Seq: st.Streams[0].Seq, Hash: e.Leaf}
	}
	want := v.head
	want.ControlSeq, want.Control = at.Seq, digest(at.Hash)
	want.Frozen, want.Policy, want.PolicyIndex, want.PolicySince = 0, digest{}, 0, time.Time{}
	_, index, err := v.StreamHead(v.meta.streamKey.Control())
	if err != nil {
		return err
	}
	for freeze := false; at.Seq > 0 && !(freeze && want.PolicyIndex > 0); at.Seq-- {
		e, st, err := v.Statement(index)
		if err != nil {
			return err
		}
		if st.Leaf(e.Statement).Hash() != at.Hash {
			return fmt.Errorf("entry %d: it is not at %d of the control stream", index, at.Seq)
		}
		switch b := st.Body.(type) {
		case *receipt.Freeze:
			if !freeze {
				freeze, want.Frozen = true, index
			}
		case *receipt.Unfreeze:
			freeze = true
		case *receipt.Policy:
			if want.PolicyIndex == 0 {
				want.Policy, want.PolicyIndex, want.PolicySince = digest(b.Policy.SHA256), index, st.Time
			}
		}
		at.Hash, index = st.Streams[0].Prev, e.links[0].Prev
	}
	if want := marshalRow(&want); !bytes.Equal(v.head.raw, want) {
		return fmt.Errorf("the log's head is %s, the entries of the control stream lead to %s", v.head.raw, want)
	}
	return nil
}

// entries checks the entries from lo to before hi, which are before those seen.
func (c *newest) entries(v *View, lo, hi uint64) error {
	chunk, err := collect(v.Entries(lo, hi))
	if err != nil {
		return err
	}
	keys := make([]ed25519.PublicKey, len(chunk))
	statements := make([]*receipt.Statement, len(chunk))
	for i, e := range slices.Backward(chunk) {
		if statements[i], err = receipt.ParseStatement(e.Statement); err != nil {
			return fmt.Errorf("entry %d: %w", e.Index, err)
		}
		if k, ok := statements[i].Body.(*receipt.Key); ok {
			c.key = k.Old[:]
		}
		keys[i] = c.key
	}
	errs := make([]error, len(chunk))
	parallel(len(chunk), func(i int) { _, errs[i] = c.log.checkEntry(chunk[i], keys[i]) })
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	for i, e := range slices.Backward(chunk) {
		if err := c.entry(v, e, statements[i]); err != nil {
			return err
		}
	}
	return nil
}

// entry checks the rows that follow from an entry and those behind it. Other
// processes may have gone on since the check began.
func (c *newest) entry(v *View, e *Entry, st *receipt.Statement) error {
	for _, in := range st.Streams {
		if c.streams[in.ID] {
			continue
		}
		c.streams[in.ID] = true
		if seq, at, err := v.StreamHead(in.ID); err != nil {
			return err
		} else if at < c.size && (seq != in.Seq || at != e.Index) {
			return fmt.Errorf("entry %d: it is the last of its %s stream at %d, the stored head is entry %d at %d", e.Index, in.Name, in.Seq, at, seq)
		}
	}
	switch b := st.Body.(type) {
	case *receipt.Outcome:
		if b.Conflict == nil {
			if first, _, err := v.Outcome(b.Decision.Index); err != nil || first != e.Index {
				return cmp.Or(err, fmt.Errorf("entry %d: its row in table %s is missing or another's", e.Index, Outcomes))
			}
		}
	case *receipt.Approval:
		c.answers[b.Escalation.Index] = append(c.answers[b.Escalation.Index], answering{e, b})
	case *receipt.Decision:
		if b.Approval != nil && b.Verdict == helm.Allow {
			c.used[b.Approval.Index] = e.Index
		}
		if b.CallID != "" && remembered(b.Reason.Code) {
			if n, found, err := v.Call(b.Agent, b.Session, b.Principal, b.CallID); err != nil || !found || n < e.Index {
				return cmp.Or(err, fmt.Errorf("entry %d: its row in table %s is missing or an older one's", e.Index, Calls))
			}
		}
		if err := c.taken(v, e, st, b); err != nil {
			return err
		}
		if b.Escalation != nil {
			return c.approval(v, e, b)
		}
	}
	return nil
}

// taken checks the counters of budgets by what the last decision that looked at them
// says is used.
func (c *newest) taken(v *View, e *Entry, st *receipt.Statement, b *receipt.Decision) error {
	for i := range b.Budgets {
		key := string(budget.Key(b, &b.Budgets[i]))
		if c.budgets[key] || v.Size() > c.size { // then the check in the background comes to it
			continue
		}
		c.budgets[key] = true
		then := *v
		then.head.Time = st.Time
		if used, err := then.Used(b, &b.Budgets[i]); err != nil || used.String() != b.Budgets[i].Used {
			return cmp.Or(err, fmt.Errorf("entry %d: %s of the budget %s was used, its row in table %s says %s", e.Index, b.Budgets[i].Used, b.Budgets[i].ID, Budgets, used))
		}
	}
	return nil
}

// approval checks the state of what an ESCALATE opened, all of whose answers were
// seen.
func (c *newest) approval(v *View, e *Entry, b *receipt.Decision) error {
	want := newApproval(e, b)
	for _, a := range slices.Backward(c.answers[e.Index]) {
		want.answered(a.entry, a.body)
	}
	if used := c.used[e.Index]; used > 0 {
		want.State, want.Used = ApprovalUsed, used
	}
	got, err := v.Approval(e.Index)
	if err != nil {
		return err
	}
	if n := len(got.Answers); v.Size() > c.size && (got.Used >= c.size || n > 0 && got.Answers[n-1].Index >= c.size) {
		return nil // the check in the background comes to it
	}
	if got, want := marshalRow(got), marshalRow(want); !bytes.Equal(got, want) {
		return fmt.Errorf("table %s: the row of entry %d is %s, the entries lead to %s", Approvals, e.Index, got, want)
	}
	return nil
}
