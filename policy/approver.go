package policy

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
)

// Limits of approvers. A rule's keys are all in the receipt of each of its ESCALATEs.
const (
	MaxApprovers    = 1000
	MaxNameOfPerson = 100 // bytes
	MaxKeysOfRule   = 64
)

// An Approver is a person who may answer an ESCALATE with an SSH key.
type Approver struct {
	Name        string
	Groups      []string
	Key         string // as in authorized_keys: type and base64
	Fingerprint string // "SHA256:..."
	Revoked     bool

	path string
}

// asks is what approvers = {...} says of an ESCALATE.
type asks struct {
	path         string
	expires      time.Duration
	anyOf, allOf []string // names and groups; both nil: an operator answers
	count        int64    // of anyOf
	client       bool     // the user of the client that asks may answer, as an operator may
}

// Approvers are all that the policy names, by name.
func (p *Policy) Approvers() []Approver { return slices.Clone(p.approvers) }

// Requirements are what the rule asks for that escalates a call, in a receipt's order. Nobody
// approves what an agent of his name, or one that was authenticated by it, asks for:
// it reports false where too few are left.
func (p *Policy) Requirements(rule, agent, principal string) ([]receipt.Requirement, bool) {
	a := p.asks[rule]
	if a == nil || a.anyOf == nil && a.allOf == nil { // an operator answers
		return []receipt.Requirement{{Rule: rule, Client: a != nil && a.client}}, true
	}
	out := p.requirements(rule, a, func(one Approver) bool { return !one.Asks(agent, principal) })
	return out, !slices.ContainsFunc(out, func(r receipt.Requirement) bool { return r.Count > uint64(len(r.Keys)) })
}

// requirements are those of a rule, each list of keys once, and in order.
func (p *Policy) requirements(rule string, a *asks, may func(Approver) bool) (out []receipt.Requirement) {
	of := func(count int64, entries ...string) {
		r := receipt.Requirement{Rule: rule, Count: uint64(count)}
		for _, one := range p.approvers {
			if !one.Revoked && may(one) && slices.ContainsFunc(entries, one.is) {
				r.Keys = append(r.Keys, receipt.ApproverKey{Name: one.Name, Fingerprint: one.Fingerprint})
			}
		}
		slices.SortFunc(r.Keys, byFingerprint)
		out = append(out, r)
	}
	for _, entry := range a.allOf {
		of(1, entry)
	}
	if a.anyOf != nil {
		of(a.count, a.anyOf...)
	}
	keys := func(a, b receipt.Requirement) int { return slices.CompareFunc(a.Keys, b.Keys, byFingerprint) }
	slices.SortFunc(out, func(a, b receipt.Requirement) int { return cmp.Or(keys(a, b), cmp.Compare(b.Count, a.Count)) })
	return slices.CompactFunc(out, func(most, b receipt.Requirement) bool { return keys(most, b) == 0 })
}

func byFingerprint(a, b receipt.ApproverKey) int {
	return strings.Compare(a.Fingerprint, b.Fingerprint)
}

// Asks reports whether a call of that agent and principal, such as "agent:ana", is the
// approver's own.
func (a Approver) Asks(agent, principal string) bool {
	_, name, _ := strings.Cut(principal, ":")
	return slices.ContainsFunc([]string{agent, principal, name}, func(asker string) bool { return strings.EqualFold(asker, a.Name) })
}

// is reports whether an entry of any_of or all_of names the approver.
func (a Approver) is(entry string) bool {
	group, ok := strings.CutPrefix(entry, "group:")
	return !ok && entry == a.Name || ok && slices.Contains(a.Groups, group)
}

// AllowedSigners prints the approvers as ssh-keygen's ALLOWED SIGNERS file, for -Y verify in
// that namespace. Those that are revoked are left out.
func (p *Policy) AllowedSigners(namespace string) []byte {
	var b bytes.Buffer
	for _, a := range p.approvers {
		if !a.Revoked {
			b.WriteString(a.Name + ` namespaces="` + namespace + `" ` + a.Key + "\n")
		}
	}
	return b.Bytes()
}

func (t table) approver() Approver {
	t.only("name", "groups", "key", "revoked")
	a := Approver{path: t.path, Name: t.str("name")}
	if a.Name != "" {
		t.person(t.path+".name", "name", a.Name)
	}
	if _, there := t.m["groups"]; there {
		a.Groups = t.strings("groups")
		for i, g := range a.Groups {
			t.person(indexed(t.path+".groups", i), "group", g)
		}
	}
	if text := t.str("key"); text != "" {
		key, err := sshsig.ParseKey(text)
		if err != nil {
			t.s.val(t.path+".key", "", "%s", err)
		} else {
			a.Key, a.Fingerprint = key.String(), key.Fingerprint()
		}
	}
	if v, there := t.m["revoked"]; there {
		var ok bool
		if a.Revoked, ok = v.(bool); !ok {
			t.s.val(t.path+".revoked", "", "revoked must be true or false, this is %s", kindOf(v))
		}
	}
	return a
}

// person checks the name of an approver or a group: one that an allowed_signers file
// and a terminal hold as it is.
func (t table) person(path, what, name string) {
	odd := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._@+-", r)
	})
	if odd >= 0 || len(name) > MaxNameOfPerson || strings.ContainsRune("._@+-", rune(name[0])) {
		t.s.val(path, "", "the %s %q must be 1 to %d of A-Z a-z 0-9 . _ @ + - and begin with a letter or digit", what, name, MaxNameOfPerson)
	}
}

// approvers reads what answers an ESCALATE.
func (t table) approvers(verdict helm.Verdict) *asks {
	out := &asks{path: t.path, expires: DefaultExpires, count: 1}
	if _, there := t.m["approvers"]; !there {
		return out
	}
	a, ok := t.table("approvers")
	if !ok {
		return out
	}
	out.path = a.path
	if verdict != helm.Escalate {
		t.s.key(a.path, "", "approvers belong to a rule whose verdict is ESCALATE")
	}
	a.only("expires", "any_of", "all_of", "count", "grade")
	out.anyOf, out.allOf = a.entries("any_of"), a.entries("all_of")
	if v, there := a.m["count"]; there {
		if out.count, ok = v.(int64); !ok || out.count < 1 {
			a.s.val(a.path+".count", "", "count must be an integer from 1")
			out.count = 1
		} else if _, there := a.m["any_of"]; !there {
			a.s.key(a.path+".count", "", "count says how many of any_of must answer, and there is no any_of")
		}
	}
	if _, there := a.m["grade"]; there {
		switch grade := a.str("grade"); {
		case grade != "client" && grade != "operator" && grade != "":
			a.s.val(a.path+".grade", closest(grade, []string{"client", "operator"}), "grade is %q: it must be \"operator\" or \"client\", and any_of and all_of ask for signatures", grade)
		case out.anyOf != nil || out.allOf != nil:
			a.s.key(a.path+".grade", "", "any_of and all_of ask for signatures: no other grade can be asked for beside them")
		default:
			out.client = grade == "client"
		}
	}
	if _, there := a.m["expires"]; !there {
		return out
	}
	if text := a.str("expires"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second || d > MaxExpires {
			a.s.val(a.path+".expires", "", "expires is %q: it must be a duration such as \"15m\", from 1s to 720h", text)
		}
		out.expires = d
	}
	return out
}

// entries reads any_of or all_of, which names somebody where it is there.
func (t table) entries(key string) []string {
	if _, there := t.m[key]; !there {
		return nil
	}
	all := t.strings(key)
	if all != nil && len(all) == 0 {
		t.s.val(t.path+"."+key, "", "%s names nobody", key)
	}
	for i, entry := range all {
		if slices.Contains(all[:i], entry) {
			t.s.val(indexed(t.path+"."+key, i), "", "%s names %q twice", key, entry)
		}
	}
	return all
}

// takeApprovers takes the people and what rules ask of them into the policy, and reports
// what nobody could answer.
func (p *Policy) takeApprovers(s *source, f *file) {
	unique(s, "[[approver]] name", f.approvers, func(a Approver) (string, string) { return a.path + ".name", a.Name })
	keys := map[string]Approver{}
	for _, a := range f.approvers {
		if first, ok := keys[a.Fingerprint]; ok && a.Fingerprint != "" && first.Name != a.Name {
			s.val(a.path+".key", "", "the key %s of %q is that of %q too: one key answers under one name", a.Fingerprint, a.Name, first.Name)
			continue
		}
		keys[a.Fingerprint] = a
	}
	if len(f.approvers) > MaxApprovers {
		s.key("approver", "", "%d approvers: at most %d are allowed", len(f.approvers), MaxApprovers)
	}
	p.approvers = slices.Clone(f.approvers)
	slices.SortFunc(p.approvers, func(a, b Approver) int { return strings.Compare(a.Name, b.Name) })
	p.asks = map[string]*asks{}
	for i := range f.rules {
		if r := &f.rules[i]; r.verdict == helm.Escalate {
			p.asks[r.id] = r.asks
		}
	}
	for i := range f.budgets {
		if b := &f.budgets[i]; b.Verdict == helm.Escalate {
			p.asks[b.Rule()] = b.asks
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(p.asks)) {
		p.answerable(s, p.asks[rule])
	}
}

// answerable reports names that nobody has, and what too few can answer.
func (p *Policy) answerable(s *source, a *asks) {
	var known []string
	for _, one := range p.approvers {
		known = append(known, one.Name)
		for _, g := range one.Groups {
			known = append(known, "group:"+g)
		}
	}
	live := func(entries ...string) (n int64) {
		for _, one := range p.approvers {
			if !one.Revoked && slices.ContainsFunc(entries, one.is) {
				n++
			}
		}
		return n
	}
	known = sorted(known)
	unknown := func(key string, i int, entry string) bool {
		path, group, is := indexed(a.path+"."+key, i), strings.TrimPrefix(entry, "group:"), strings.HasPrefix(entry, "group:")
		switch {
		case slices.Contains(known, entry):
			return false
		case is:
			s.val(path, closest(entry, known), "no [[approver]] is in the group %q", group)
		case slices.Contains(known, "group:"+entry):
			s.val(path, "group:"+entry, "no [[approver]] is named %q", entry)
		default:
			s.val(path, closest(entry, known), "no [[approver]] is named %q", entry)
		}
		return true
	}
	for i, entry := range a.allOf {
		if !unknown("all_of", i, entry) && live(entry) == 0 {
			s.val(indexed(a.path+".all_of", i), "", "nobody can answer for %q: whoever it names is revoked", entry)
		}
	}
	all := true
	for i, entry := range a.anyOf {
		all = !unknown("any_of", i, entry) && all
	}
	if n := live(a.anyOf...); all && a.anyOf != nil && n < a.count {
		path := a.path + ".count"
		if a.count == 1 {
			path = a.path + ".any_of"
		}
		s.val(path, "", "%d of any_of must answer, and %d can", a.count, n)
	}
	n := 0
	for _, r := range p.requirements("", a, func(Approver) bool { return true }) {
		n += len(r.Keys)
	}
	if n > MaxKeysOfRule {
		s.key(a.path, "", "%d keys could answer: at most %d are allowed, because each receipt lists them", n, MaxKeysOfRule)
	}
}
