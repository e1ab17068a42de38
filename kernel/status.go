package kernel

import (
	"context"
	"encoding/hex"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A Status is what the kernel has observed of itself and its log.
type Status struct {
	Mode     helm.Mode     `json:"mode"` // of the active policy
	Frozen   *FreezeStatus `json:"frozen"`
	Policy   *PolicyStatus `json:"policy"`           // nil: none has been activated, and nothing is decided
	Shadow   *ShadowStatus `json:"shadow,omitempty"` // what is evaluated beside it, in this process
	Log      LogStatus     `json:"log"`
	Counts   CountStatus   `json:"counts"`
	Audit    AuditStatus   `json:"audit"`
	Degraded string        `json:"degraded,omitempty"` // why only DENY is answered
	Error    string        `json:"error,omitempty"`    // why the log stopped
	Caveat   string        `json:"caveat"`             // what no status can promise
}

// A FreezeStatus is a freeze that is in force.
type FreezeStatus struct {
	Index     uint64 `json:"index"`
	Since     string `json:"since"`
	Principal string `json:"principal"`
	Reason    string `json:"reason"`
}

// A PolicyStatus is the active policy.
type PolicyStatus struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
	SHA256  string `json:"sha256"`
	Since   string `json:"since"`
	Index   uint64 `json:"index"` // of the entry that activated it
	Engine  string `json:"engine"`

	// Tools are the names and patterns of all that are not denied whatever the call says; nil: this
	// version cannot evaluate the policy.
	Tools []string `json:"tools,omitzero"`
}

// A LogStatus is the log's head.
type LogStatus struct {
	Origin      string `json:"origin"`
	Fingerprint string `json:"fingerprint"` // leaf hash of genesis
	Size        uint64 `json:"size"`
	Root        string `json:"root"`
	Key         string `json:"key"` // the verifier key, as trust files hold it
	KeyID       string `json:"keyid"`
	LastEntry   string `json:"last_entry"` // its time
}

// A CountStatus counts entries of the whole log.
type CountStatus struct {
	Allow            uint64 `json:"allow"`
	Deny             uint64 `json:"deny"`
	Escalate         uint64 `json:"escalate"`
	Outcomes         uint64 `json:"outcomes"`
	ApprovalsPending uint64 `json:"approvals_pending"`
	SessionsOpen     uint64 `json:"sessions_open"`
}

// An AuditStatus says how much of the log was checked since this process began.
type AuditStatus struct {
	Result  string `json:"result"` // "complete", or "running"
	Newest  uint64 `json:"newest"` // entries checked at the start, from the newest backwards
	Checked uint64 `json:"checked"`
	Of      uint64 `json:"of"`
}

const caveat = "an agent that runs as the same user as the kernel can read its key: run serve as another user"

// Status reads the state of the log.
func (k *Kernel) Status(ctx context.Context) (*Status, error) {
	s := &Status{Caveat: caveat}
	l := k.log
	err := l.View(ctx, func(v *ledger.View) error {
		root, fp := v.Root(), l.Fingerprint()
		s.Log = LogStatus{Origin: l.Origin(), Fingerprint: hex.EncodeToString(fp[:]), Size: v.Size(), Root: hex.EncodeToString(root[:]),
			Key: receipt.VKey(l.Origin(), l.Key()), KeyID: receipt.KeyID(l.Key()), LastEntry: receipt.FormatTime(v.Time())}
		c := v.Counts()
		s.Counts = CountStatus{Allow: c.Allowed, Deny: c.Denied, Escalate: c.Escalated, Outcomes: c.Outcomes, SessionsOpen: c.SessionsOpen}
		sha, index, since := v.ActivePolicy()
		for a, err := range v.OpenApprovals("", "") {
			if err != nil {
				return err
			}
			if a.State == ledger.ApprovalPending && a.Live(k.now()) && !void(v, a) {
				s.Counts.ApprovalsPending++
			}
		}
		if index != 0 {
			_, st, err := v.Statement(index)
			if err != nil {
				return err
			}
			if p, ok := st.Body.(*receipt.Policy); ok {
				s.Mode = p.Mode
				s.Policy = &PolicyStatus{ID: p.Policy.ID, Version: p.Policy.Version, SHA256: hex.EncodeToString(sha[:]), Since: receipt.FormatTime(since), Index: index, Engine: p.Policy.Engine}
				if active, err := k.activeIn(v); err == nil {
					s.Policy.Tools = active.Tools()
				}
			}
		}
		if at := v.Frozen(); at != 0 {
			_, st, err := v.Statement(at)
			if err != nil {
				return err
			}
			if f, ok := st.Body.(*receipt.Freeze); ok {
				s.Frozen = &FreezeStatus{at, receipt.FormatTime(st.Time), f.Principal, f.Reason}
			}
		}
		return nil
	})
	if err != nil {
		return nil, coded(err)
	}
	if b := k.shadow.Load(); b != nil {
		s.Shadow = b.status()
	}
	a := l.Audit()
	s.Audit = AuditStatus{Result: "running", Newest: a.Newest, Checked: a.Checked, Of: a.Of}
	if a.Done {
		s.Audit.Result = "complete"
	}
	if err := l.Degraded(); err != nil {
		s.Degraded = err.Error()
	}
	if err := l.Err(); err != nil {
		s.Error = err.Error()
	}
	return s, nil
}
