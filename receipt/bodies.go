package receipt

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
)

// Genesis is entry 0. Its leaf hash is the log's fingerprint. Subject: the public
// key in PEM.
type Genesis struct {
	Key       [ed25519.PublicKeySize]byte // signs every entry until a key entry
	StreamKey Hash                        // SHA-256 of the stream key, so that a name has one id
}

// Policy is the activation of a policy. Subject: the policy's bytes.
type Policy struct {
	Principal string // who activated it
	Policy    PolicyRef
	Mode      helm.Mode
}

// A PolicyRef says under which policy, and how understood.
type PolicyRef struct {
	ID      string
	Version uint64
	SHA256  Hash   // of the policy's bytes
	Format  string // pins the language, such as "helm.policy/v1"
	Engine  string // what evaluated it, such as "cel-go/0.33.2"
}

// Session is the close of a session. It marks an end that a pack can be asked for
// up to; a resumed session goes on at the next seq. Subject: the genesis
// statement.
type Session struct {
	Agent, Session      string
	Principal, Boundary string
	Cause               string // CloseAPI, CloseIdle or CloseHost
}

// Why a session was closed.
const (
	CloseAPI  = "api"
	CloseIdle = "idle"
	CloseHost = "host"
)

// Decision is what the kernel answered to a call. Subject: the fields file of the
// call's arguments and context.
type Decision struct {
	Agent, Session      string
	CallID              string // or ""
	Principal, Boundary string
	Tool                string

	Now         time.Time // the time that the policy saw
	Verdict     helm.Verdict
	Mode        helm.Mode
	Enforced    bool // false: in shadow mode, the boundary lets the call pass whatever the verdict
	Rule        string
	Reason      helm.Reason
	Matched     []Match // every rule that matched, at most MaxMatched
	MatchedMore uint64  // how many more matched
	Policy      PolicyRef
	Budgets     []Budget    // in byte order of their ids
	Approval    *Ref        // the ESCALATE whose approval this used up, or whose refusal or pending state it rests on
	Escalation  *Escalation // of an ESCALATE that opened an approval
	Shadow      *Shadow     // what a shadow policy says, where its verdict or rule is another than Policy's
}

// A Match is a rule that matched a call.
type Match struct {
	Rule    string
	Verdict helm.Verdict
	Code    helm.Code
}

// A Budget is a budget's state after a decision. Limit, Amount and Used are exact
// decimals. With what a statement says, budgets can be counted again without the policy.
type Budget struct {
	ID     string
	Per    string // BudgetPerAgent, ...: what has a budget of its own
	Sum    string // the argument that is added up, or "": calls are counted
	Window uint64 // seconds, whole minutes
	Limit  string
	Amount string // what the call takes; taken when the verdict is ALLOW
	Used   string // in the window, after this decision
}

// What a budget is counted for.
const (
	BudgetPerAgent     = "agent"
	BudgetPerSession   = "session"
	BudgetPerTool      = "tool"
	BudgetPerPrincipal = "principal"
	BudgetPerAll       = "all"
)

// An Escalation says what answers an ESCALATE.
type Escalation struct {
	Expires  time.Time
	Requires []Requirement // at least one for each matched ESCALATE rule, in byte order of rules, then of fingerprints
}

// A Requirement is a thing that an ESCALATE rule asks for: Count signatures of distinct
// keys out of Keys, or, where Keys is empty and Count is 0, an operator's answer. All
// requirements of all rules must be satisfied; one signature counts for each that
// lists its key.
type Requirement struct {
	Rule  string
	Count uint64
	Keys  []ApproverKey // in byte order of their fingerprints

	Client bool // with a Count of 0: the user of the client that asked may answer too
}

// An ApproverKey is a key that may answer, by SSH fingerprint ("SHA256:...").
type ApproverKey struct {
	Name        string
	Fingerprint string
}

// Outcome is how a call ended, as reported. Subject: the fields file of the
// result, or the decision's statement where no result was given.
type Outcome struct {
	Agent, Session      string
	Principal, Boundary string
	Tool                string
	Decision            Ref
	Verdict             helm.Verdict // the decision's
	Enforced            bool         // the decision's
	Status              helm.OutcomeStatus
	DurationMicros      uint64
	Conflict            *Ref // an earlier, differing report for the same decision
}

// Approval is one answer to an ESCALATE. Subject: the ESCALATE's statement.
type Approval struct {
	Agent, Session string
	Escalation     Ref
	Input          Hash // the commitment of the ESCALATE's arguments and context
	Answer         string
	Grade          string
	Principal      string // who handed it in
	Boundary       string
	Approver       string // who answers
	Expires        time.Time
	Signature      string // SSHSIG, of GradeSSH
}

// The answers and grades of an approval.
const (
	AnswerApprove = "approve"
	AnswerRefuse  = "refuse"

	GradeOperator = "operator-token" // an operator's token, nothing signed by a person
	GradeSSH      = "ssh-signature"
	GradeClient   = "client-user" // what the asking client says that its user answered
)

// Boundary is what is said of a way by which agents reach the kernel: that it starts or
// stops, what came of trying it, or which tools are behind it. Subject: the genesis statement.
type Boundary struct {
	Principal string
	Boundary  string
	Event     string
	Covers    string // what it covers, or what was found, for people
	Tools     []Tool // of the events of tools, in byte order of their names
}

// A Tool is a tool by its full name and the SHA-256 of its definition.
type Tool struct {
	Name   string
	SHA256 Hash
}

// The events of a boundary.
const (
	BoundaryStart = "start"
	BoundaryStop  = "stop"
	BoundaryCheck = "check" // it was tried

	ToolsPinned   = "tools-pinned"   // the first list of a server
	ToolsAdded    = "tools-added"    // to a list that was pinned: pinned too
	ToolsChanged  = "tools-changed"  // another definition than the pinned one, which stays
	ToolsVanished = "tools-vanished" // not listed any more; what was pinned stays
	ToolsReturned = "tools-returned" // listed again as pinned
	ToolsAccepted = "tools-accepted" // an operator pinned another definition
)

// Freeze denies everything from here on. Subject: the genesis statement.
type Freeze struct {
	Principal, Boundary string
	Reason              string
}

// Unfreeze ends a freeze. Subject: the genesis statement.
type Unfreeze struct {
	Principal, Boundary string
	Reason              string
}

// Key replaces the log's key: it is signed by both, the old one first. Subject:
// the new public key in PEM.
type Key struct {
	Principal string
	Old, New  [ed25519.PublicKeySize]byte
}

// Kind implements Body.
func (*Genesis) Kind() Kind { return KindGenesis }

// Kind implements Body.
func (*Policy) Kind() Kind { return KindPolicy }

// Kind implements Body.
func (*Session) Kind() Kind { return KindSession }

// Kind implements Body.
func (*Decision) Kind() Kind { return KindDecision }

// Kind implements Body.
func (*Outcome) Kind() Kind { return KindOutcome }

// Kind implements Body.
func (*Approval) Kind() Kind { return KindApproval }

// Kind implements Body.
func (*Boundary) Kind() Kind { return KindBoundary }

// Kind implements Body.
func (*Freeze) Kind() Kind { return KindFreeze }

// Kind implements Body.
func (*Unfreeze) Kind() Kind { return KindUnfreeze }

// Kind implements Body.
func (*Key) Kind() Kind { return KindKey }

func (b *Genesis) describe(c *codec) {
	c.name("key")
	c.base64(b.Key[:])
	c.name("stream_key_sha256")
	c.base64(b.StreamKey[:])
}

func (b *Policy) describe(c *codec) {
	c.nameMember("principal", &b.Principal)
	c.name("policy")
	b.Policy.describe(c)
	c.oneOf("mode", (*string)(&b.Mode), string(helm.Enforce), string(helm.Shadow))
}

func (p *PolicyRef) describe(c *codec) {
	c.object(func() {
		c.nameMember("id", &p.ID)
		c.name("version")
		c.number(&p.Version)
		c.name("sha256")
		c.hex(p.SHA256[:])
		c.nameMember("format", &p.Format)
		c.nameMember("engine", &p.Engine)
	})
}

func (b *Session) describe(c *codec) {
	c.nameMember("agent", &b.Agent)
	c.nameMember("session", &b.Session)
	c.nameMember("principal", &b.Principal)
	c.nameMember("boundary", &b.Boundary)
	c.oneOf("cause", &b.Cause, CloseAPI, CloseIdle, CloseHost)
}

func (b *Decision) describe(c *codec) {
	c.nameMember("agent", &b.Agent)
	c.nameMember("session", &b.Session)
	if c.optional("call_id", b.CallID != "") {
		c.checked(&b.CallID, helm.MaxNameBytes, func(s string) error { return helm.CheckName("call_id", s) })
	}
	c.nameMember("principal", &b.Principal)
	c.nameMember("boundary", &b.Boundary)
	c.nameMember("tool", &b.Tool)
	c.name("now")
	c.time(&b.Now)
	c.verdict("verdict", &b.Verdict)
	c.oneOf("mode", (*string)(&b.Mode), string(helm.Enforce), string(helm.Shadow))
	c.name("enforced")
	c.boolean(&b.Enforced)
	c.nameMember("rule", &b.Rule)
	c.name("reason")
	c.object(func() {
		c.code("code", &b.Reason.Code)
		c.name("message")
		c.text(&b.Reason.Message, MaxReasonBytes)
	})
	c.name("matched")
	list(c, &b.Matched, MaxMatched, func(m *Match) {
		c.object(func() {
			c.nameMember("rule", &m.Rule)
			c.verdict("verdict", &m.Verdict)
			c.code("code", &m.Code)
		})
	})
	if c.optional("matched_more", b.MatchedMore > 0) {
		c.positive(&b.MatchedMore)
	}
	c.name("policy")
	b.Policy.describe(c)
	c.name("budgets")
	list(c, &b.Budgets, MaxBudgets, func(m *Budget) {
		c.object(func() {
			c.nameMember("id", &m.ID)
			c.oneOf("per", &m.Per, BudgetPerAgent, BudgetPerSession, BudgetPerTool, BudgetPerPrincipal, BudgetPerAll)
			if c.optional("sum", m.Sum != "") {
				c.text(&m.Sum, MaxReasonBytes)
				if c.err == nil && m.Sum == "" {
					c.fail("the sum is empty: it is left out where calls are counted")
				}
			}
			c.name("window_s")
			c.positive(&m.Window)
			if c.err == nil && m.Window%60 != 0 {
				c.fail("window_s is %d: a window has whole minutes", m.Window)
			}
			c.decimal("limit", &m.Limit)
			c.decimal("amount", &m.Amount)
			c.decimal("used", &m.Used)
		})
	})
	ascending(c, "ids of budgets", b.Budgets, func(m Budget) string { return m.ID })
	if c.optional("approval", b.Approval != nil) {
		allocate(c, &b.Approval).describe(c)
	}
	if c.optional("escalation", b.Escalation != nil) {
		allocate(c, &b.Escalation).describe(c)
	}
	if c.optional("shadow", b.Shadow != nil) {
		allocate(c, &b.Shadow).describe(c)
	}
	switch {
	case c.err != nil:
	case b.MatchedMore > 0 && len(b.Matched) < MaxMatched:
		c.fail("%d rules are listed and %d more are not: up to %d are listed", len(b.Matched), b.MatchedMore, MaxMatched)
	case b.Escalation != nil && b.Verdict != helm.Escalate:
		c.fail("a verdict of %s has an escalation", b.Verdict)
	}
}

func (e *Escalation) describe(c *codec) {
	c.object(func() {
		c.name("expires")
		c.time(&e.Expires)
		c.name("requires")
		list(c, &e.Requires, MaxRequirements, func(r *Requirement) {
			c.object(func() {
				c.nameMember("rule", &r.Rule)
				c.name("count")
				c.number(&r.Count)
				c.name("keys")
				list(c, &r.Keys, MaxKeys, func(k *ApproverKey) {
					c.object(func() {
						c.nameMember("name", &k.Name)
						c.nameMember("fingerprint", &k.Fingerprint)
					})
				})
				if c.optional("client", r.Client) {
					if r.Client = true; c.err == nil {
						c.boolean(&r.Client)
					}
					if c.err == nil && !r.Client {
						c.fail("client is false: it is left out then")
					}
				}
			})
			if c.err == nil && r.Client && r.Count > 0 {
				c.fail("a requirement asks for keys and for the client's user")
			}
			if c.err == nil && r.Count > uint64(len(r.Keys)) {
				c.fail("a requirement asks for %d of %d keys", r.Count, len(r.Keys))
			}
			if c.err == nil && r.Count == 0 && len(r.Keys) > 0 {
				c.fail("a requirement names keys and asks for none of them")
			}
			ascending(c, "fingerprints of keys", r.Keys, func(k ApproverKey) string { return k.Fingerprint })
		})
		ascending(c, "rules and keys of requirements", e.Requires, func(r Requirement) string {
			var b strings.Builder // names have no space, which is below all that they have
			b.WriteString(r.Rule)
			for _, k := range r.Keys {
				b.WriteByte(' ')
				b.WriteString(k.Fingerprint)
			}
			return b.String()
		})
		e.oneToOne(c)
		if c.err == nil && len(e.Requires) == 0 {
			c.fail("an escalation asks for nothing")
		}
	})
}

// oneToOne holds each key to one name and each name to one key, so that to count the
// names that answered is to count keys.
func (e *Escalation) oneToOne(c *codec) {
	names, keys := map[string]string{}, map[string]string{}
	for _, r := range e.Requires {
		for _, k := range r.Keys {
			name, seen := names[k.Fingerprint]
			if seen && name != k.Name && c.err == nil {
				c.fail("the key %s has the names %q and %q", k.Fingerprint, name, k.Name)
			}
			key, seen := keys[k.Name]
			if seen && key != k.Fingerprint && c.err == nil {
				c.fail("%q has the keys %s and %s", k.Name, key, k.Fingerprint)
			}
			names[k.Fingerprint], keys[k.Name] = k.Name, k.Fingerprint
		}
	}
}

func (b *Outcome) describe(c *codec) {
	c.nameMember("agent", &b.Agent)
	c.nameMember("session", &b.Session)
	c.nameMember("principal", &b.Principal)
	c.nameMember("boundary", &b.Boundary)
	c.nameMember("tool", &b.Tool)
	c.name("decision")
	b.Decision.describe(c)
	c.verdict("verdict", &b.Verdict)
	c.name("enforced")
	c.boolean(&b.Enforced)
	c.oneOf("status", (*string)(&b.Status), string(helm.OutcomeOK), string(helm.OutcomeError),
		string(helm.OutcomeTimeout), string(helm.OutcomeNotExecuted))
	c.name("duration_us")
	c.number(&b.DurationMicros)
	if c.optional("conflict", b.Conflict != nil) {
		allocate(c, &b.Conflict).describe(c)
	}
}

func (b *Approval) describe(c *codec) {
	c.nameMember("agent", &b.Agent)
	c.nameMember("session", &b.Session)
	c.name("escalation")
	b.Escalation.describe(c)
	c.name("input")
	c.base64(b.Input[:])
	c.oneOf("answer", &b.Answer, AnswerApprove, AnswerRefuse)
	c.oneOf("grade", &b.Grade, GradeOperator, GradeSSH, GradeClient)
	c.nameMember("principal", &b.Principal)
	c.nameMember("boundary", &b.Boundary)
	c.nameMember("approver", &b.Approver)
	c.name("expires")
	c.time(&b.Expires)
	if c.optional("signature", b.Signature != "") {
		c.text(&b.Signature, MaxSignatureBytes)
	}
	if c.err == nil && (b.Grade == GradeSSH) != (b.Signature != "") {
		c.fail("an approval of grade %s has a signature exactly when the grade is %s", b.Grade, GradeSSH)
	}
}

func (b *Boundary) describe(c *codec) {
	c.nameMember("principal", &b.Principal)
	c.nameMember("boundary", &b.Boundary)
	c.oneOf("event", &b.Event, BoundaryStart, BoundaryStop, BoundaryCheck,
		ToolsPinned, ToolsAdded, ToolsChanged, ToolsVanished, ToolsReturned, ToolsAccepted)
	c.name("covers")
	c.text(&b.Covers, MaxReasonBytes)
	if c.optional("tools", len(b.Tools) > 0) {
		list(c, &b.Tools, MaxTools, func(t *Tool) {
			c.object(func() {
				c.nameMember("name", &t.Name)
				c.name("sha256")
				c.hex(t.SHA256[:])
			})
		})
		ascending(c, "names of tools", b.Tools, func(t Tool) string { return t.Name })
	}
	if c.err == nil && strings.HasPrefix(b.Event, "tools-") != (len(b.Tools) > 0) {
		c.fail("the event %s has %d tools", b.Event, len(b.Tools))
	}
}

func (b *Freeze) describe(c *codec) {
	c.freeze(&b.Principal, &b.Boundary, &b.Reason)
}

func (b *Unfreeze) describe(c *codec) {
	c.freeze(&b.Principal, &b.Boundary, &b.Reason)
}

func (c *codec) freeze(principal, boundary, reason *string) {
	c.nameMember("principal", principal)
	c.nameMember("boundary", boundary)
	c.name("reason")
	c.checked(reason, MaxReasonBytes, func(s string) error {
		if s == "" {
			return errors.New("the reason is empty")
		}
		return nil
	})
}

func (b *Key) describe(c *codec) {
	c.nameMember("principal", &b.Principal)
	c.name("old")
	c.base64(b.Old[:])
	c.name("new")
	c.base64(b.New[:])
	if c.err == nil && b.Old == b.New {
		c.fail("the new key is the old one")
	}
}

// ascending holds a list to the byte order of its keys, so that none is there twice.
func ascending[T any](c *codec, what string, l []T, key func(T) string) {
	for i := 1; i < len(l) && c.err == nil; i++ {
		if a, b := key(l[i-1]), key(l[i]); a >= b {
			c.fail("the %s are not in byte order, each once: %q stands before %q", what, a, b)
		}
	}
}

// nameMember is a member whose value is a name as helm.CheckName has it.
func (c *codec) nameMember(name string, s *string) {
	c.name(name)
	c.text(s, helm.MaxNameBytes)
	if c.err == nil {
		if err := helm.CheckName(name, *s); err != nil {
			c.fail("%w", err)
		}
	}
}

// oneOf is a member whose value is one of a few words.
func (c *codec) oneOf(name string, s *string, words ...string) {
	c.name(name)
	if !c.writing && c.err == nil {
		for _, w := range words {
			if n := len(w) + 2; len(c.buf) >= n && c.buf[0] == '"' && string(c.buf[1:n-1]) == w && c.buf[n-1] == '"' {
				*s, c.buf = w, c.buf[n:]
				return
			}
		}
	}
	c.text(s, helm.MaxNameBytes)
	if !c.writing || !slices.Contains(words, *s) {
		c.fail("%s is %q: it must be one of %s", name, *s, strings.Join(words, ", "))
	}
}

func (c *codec) verdict(name string, v *helm.Verdict) {
	c.oneOf(name, (*string)(v), string(helm.Allow), string(helm.Deny), string(helm.Escalate))
}

func (c *codec) code(name string, v *helm.Code) {
	c.name(name)
	c.text((*string)(v), helm.MaxNameBytes)
	if c.err == nil && !v.Valid() {
		c.fail("%s is %q: a reason code is [A-Z][A-Z0-9_]*, at most 64 bytes", name, *v)
	}
}

func (c *codec) positive(n *uint64) {
	c.number(n)
	if c.err == nil && *n == 0 {
		c.fail("a number that is left out when it is 0 is 0")
	}
}

// decimal is a member whose value is an exact decimal, in a string.
func (c *codec) decimal(name string, s *string) {
	c.name(name)
	c.checked(s, 64, func(s string) error {
		d, err := decimal.Parse(s)
		if err == nil && d.String() != s {
			err = fmt.Errorf("it must be %s", d)
		}
		if err != nil {
			return fmt.Errorf("%s is %q: %w", name, s, err)
		}
		return nil
	})
}

// allocate gives an optional member a place to be read into.
func allocate[T any](c *codec, p **T) *T {
	if !c.writing {
		*p = new(T)
	}
	return *p
}
