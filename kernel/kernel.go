// Package kernel decides calls under a policy and records what it decided.
//
// Deciding is pure and concurrent; recording goes through the ledger's sequencer,
// where freeze, repetition, approvals and the active policy are looked at again in
// the state that the entry is appended to. There is no answer before the receipt
// is durable: an error of Decide is a refusal to act.
package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Limits of the kernel.
const (
	MaxOpenApprovals = 1000                       // over all sessions
	IdleClose        = 30 * time.Minute           // a session without an entry for so long is closed
	MaxDuration      = 100 * 365 * 24 * time.Hour // of a call, as reported
)

// An Error is a refusal with a code that a caller can branch on. Nothing was
// recorded.
type Error struct {
	Code helm.Code
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func refuse(code helm.Code, format string, args ...any) error {
	return &Error{code, fmt.Errorf(format, args...)}
}

// A Kernel decides calls. All its methods may be called at once.
type Kernel struct {
	log *ledger.Log
	now func() time.Time

	active atomic.Pointer[policy.Policy] // the last that this process saw active
	shadow atomic.Pointer[shadow]        // or nil

	awaiting awaiting
	read     atomic.Pointer[control] // the control stream as far as it was read, or nil

	mu       sync.Mutex
	compiled map[receipt.Hash]*policy.Policy // guarded by mu
}

// New makes a kernel over an open log. Until Activate, the policy that the log
// shows active is in force; a log without one denies nothing and allows nothing:
// Decide fails.
func New(log *ledger.Log, now func() time.Time) *Kernel {
	return &Kernel{log: log, now: now, compiled: map[receipt.Hash]*policy.Policy{}}
}

// Log is the kernel's log, to read.
func (k *Kernel) Log() *ledger.Log { return k.log }

// errRepeat ends a proposal that finds its entry in the log already.
var errRepeat = errors.New("it is in the log already")

// append records an entry, or finds that it is there: repeat is then its index.
func (k *Kernel) append(ctx context.Context, repeat *uint64, propose func(*ledger.View) (*ledger.Draft, error)) (r Recorded, err error) {
	a, err := k.log.Append(ctx, propose)
	switch {
	case errors.Is(err, errRepeat):
		err = k.log.View(ctx, func(v *ledger.View) error {
			e, st, err := v.Statement(*repeat)
			if err != nil {
				return err
			}
			r = Recorded{Index: e.Index, ID: hex.EncodeToString(e.Leaf[:]), Time: st.Time, Repeated: true, Statement: e.Statement}
			r.Receipt, err = v.ReceiptOf(e)
			return err
		})
	case err == nil:
		r = Recorded{Index: a.Index, ID: hex.EncodeToString(a.Leaf[:]), Time: a.Time, Statement: a.Statement}
		r.Receipt, err = a.Receipt()
	}
	return r, coded(err)
}

// insist is append for what a person or the kernel itself has to say: where too many
// calls wait it waits for room, so that no flood of calls keeps a freeze out.
func (k *Kernel) insist(ctx context.Context, repeat *uint64, propose func(*ledger.View) (*ledger.Draft, error)) (Recorded, error) {
	for {
		r, err := k.append(ctx, repeat, propose)
		if !errors.Is(err, ledger.ErrOverloaded) {
			return r, err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return r, err
		}
	}
}

// coded gives an error of the ledger the code that callers know.
func coded(err error) error {
	var e *Error
	switch {
	case err == nil || errors.As(err, &e):
		return err
	case errors.Is(err, ledger.ErrOverloaded):
		return &Error{helm.Overloaded, err}
	case errors.Is(err, ledger.ErrStopped):
		return &Error{helm.KernelStopped, err}
	case errors.Is(err, ledger.ErrNotFound):
		return &Error{helm.NotFound, err}
	default:
		return &Error{helm.NotRecorded, err}
	}
}

// A Recorded is an entry that is durable.
type Recorded struct {
	Index     uint64
	ID        string
	Time      time.Time
	Repeated  bool // it was in the log already
	Statement []byte
	Receipt   []byte // receipt file
}

// Activate makes a policy the active one and records it, unless it is active
// already.
func (k *Kernel) Activate(ctx context.Context, p *policy.Policy, principal string) (Recorded, error) {
	var repeat uint64
	sha := receipt.Hash(p.SHA256())
	r, err := k.insist(ctx, &repeat, func(v *ledger.View) (*ledger.Draft, error) {
		if active, index, _ := v.ActivePolicy(); active == sha && index != 0 {
			repeat = index
			return nil, errRepeat
		}
		return &ledger.Draft{
			Subject: receipt.Subject{Name: receipt.SubjectPolicy, SHA256: sha},
			Body:    &receipt.Policy{Principal: principal, Policy: ref(p), Mode: p.Mode()},
			Policy:  p.Source(),
		}, nil
	})
	if err == nil {
		k.remember(p)
		k.active.Store(p)
	}
	return r, err
}

// IsActive reports whether the log shows the policy of bytes with this SHA-256 active.
func (k *Kernel) IsActive(ctx context.Context, sha [sha256.Size]byte) (is bool, err error) {
	err = k.log.View(ctx, func(v *ledger.View) error {
		active, index, _ := v.ActivePolicy()
		is = index != 0 && active == receipt.Hash(sha)
		return nil
	})
	return is, err
}

func ref(p *policy.Policy) receipt.PolicyRef {
	return receipt.PolicyRef{ID: p.ID(), Version: uint64(p.Version()), SHA256: receipt.Hash(p.SHA256()), Format: policy.Format, Engine: policy.Engine}
}

func (k *Kernel) remember(p *policy.Policy) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.compiled) >= 16 {
		clear(k.compiled)
	}
	k.compiled[receipt.Hash(p.SHA256())] = p
}

// activeIn is the policy that a view shows active, compiled from the bytes in the
// store where another process activated it.
func (k *Kernel) activeIn(v *ledger.View) (*policy.Policy, error) {
	sha, index, _ := v.ActivePolicy()
	if index == 0 {
		return nil, refuse(helm.NotRecorded, "no policy has been activated")
	}
	if p := k.active.Load(); p != nil && receipt.Hash(p.SHA256()) == sha {
		return p, nil
	}
	k.mu.Lock()
	p := k.compiled[sha]
	k.mu.Unlock()
	if p == nil {
		src, err := v.Policy(sha)
		if err != nil {
			return nil, err
		}
		compile := policy.Compile
		if _, st, err := v.Statement(index); err != nil {
			return nil, err
		} else if b, ok := st.Body.(*receipt.Policy); ok && b.Policy.Engine == policy.Engine && b.Policy.SHA256 == sha {
			compile = policy.Accepted
		}
		if p, err = compile(fmt.Sprintf("policy %x", sha[:6]), src); err != nil {
			return nil, refuse(helm.NotRecorded, "the active policy, which another process activated, is not one that this version can evaluate: %w", err)
		}
		if receipt.Hash(p.SHA256()) != sha {
			return nil, refuse(helm.NotRecorded, "the stored policy is not the one with the SHA-256 %x", sha)
		}
		k.remember(p)
	}
	k.active.Store(p)
	return p, nil
}

// Freeze denies every call from here on, in every process that shares the store.
func (k *Kernel) Freeze(ctx context.Context, principal, boundary, reason string) (Recorded, error) {
	return k.freeze(ctx, true, reason, &receipt.Freeze{Principal: principal, Boundary: boundary, Reason: reason})
}

// Unfreeze ends a freeze.
func (k *Kernel) Unfreeze(ctx context.Context, principal, boundary, reason string) (Recorded, error) {
	return k.freeze(ctx, false, reason, &receipt.Unfreeze{Principal: principal, Boundary: boundary, Reason: reason})
}

func (k *Kernel) freeze(ctx context.Context, on bool, reason string, body receipt.Body) (Recorded, error) {
	if reason == "" || len(reason) > receipt.MaxReasonBytes {
		return Recorded{}, refuse(helm.BadRequest, "a reason of 1 to %d bytes is needed", receipt.MaxReasonBytes)
	}
	return k.insist(ctx, nil, func(v *ledger.View) (*ledger.Draft, error) {
		if at := v.Frozen(); on && at != 0 {
			return nil, refuse(helm.Conflict, "the boundary is frozen already, since entry %d", at)
		} else if !on && at == 0 {
			return nil, refuse(helm.Conflict, "the boundary is not frozen")
		}
		return &ledger.Draft{Subject: k.log.GenesisSubject(), Body: body}, nil
	})
}

// CloseSession records the end of a session that a pack can be asked for up to.
func (k *Kernel) CloseSession(ctx context.Context, agent, session, principal, boundary, cause string) (Recorded, error) {
	for _, n := range [][2]string{{"agent", agent}, {"session", session}} {
		if err := helm.CheckName(n[0], n[1]); err != nil {
			return Recorded{}, &Error{helm.BadRequest, err}
		}
	}
	return k.append(ctx, nil, func(v *ledger.View) (*ledger.Draft, error) {
		seq, index, err := v.StreamHead(k.log.StreamKey().Session(agent, session))
		if err != nil {
			return nil, err
		}
		if seq == 0 {
			return nil, refuse(helm.NotFound, "agent %s has no session %s", agent, session)
		}
		if _, st, err := v.Statement(index); err != nil {
			return nil, err
		} else if st.Body.Kind() == receipt.KindSession {
			return nil, refuse(helm.Conflict, "session %s was closed by entry %d", session, index)
		} else if cause == receipt.CloseIdle && v.Now().Sub(st.Time) < IdleClose {
			return nil, refuse(helm.Conflict, "session %s is not idle", session)
		}
		return &ledger.Draft{Agent: agent, Session: session, Subject: k.log.GenesisSubject(),
			Body: &receipt.Session{Agent: agent, Session: session, Principal: principal, Boundary: boundary, Cause: cause}}, nil
	})
}

// CloseIdle closes the sessions that had no entry for IdleClose.
func (k *Kernel) CloseIdle(ctx context.Context) error {
	var idle []ledger.OpenSession
	err := k.log.View(ctx, func(v *ledger.View) error {
		for s, err := range v.OpenSessions() {
			if err != nil {
				return err
			}
			if k.now().Sub(s.Last) >= IdleClose {
				idle = append(idle, s)
			}
		}
		return nil
	})
	for _, s := range idle {
		_, cerr := k.CloseSession(ctx, s.Agent, s.Session, helm.PrincipalKernel, "kernel", receipt.CloseIdle)
		if e := (*Error)(nil); cerr != nil && !(errors.As(cerr, &e) && e.Code == helm.Conflict) { // it woke up meanwhile
			err = errors.Join(err, cerr)
		}
	}
	return err
}
