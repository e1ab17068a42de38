package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// maxShown bounds the arguments of an example on a line.
const maxShown = 120

func (x *diffing) show() error {
	if x.json {
		return x.printJSON(x.object())
	}
	if x.verified != "" {
		x.printf("%s\n", safeText(x.verified))
	}
	if was, is := x.Old.Mode(), x.New.Mode(); was != is {
		says := "now every verdict is enforced"
		if is == helm.Shadow {
			says = "nothing is blocked any more"
		}
		x.printf("%s\n", x.paint(red, fmt.Sprintf("THE MODE CHANGES from %s to %s: %s", was, is, says)))
	}
	count := map[policy.Direction]uint64{}
	changes := x.Changes()
	for _, c := range changes {
		count[c.Direction] += c.Count
	}
	for i, c := range changes {
		if i == 0 || changes[i-1].Direction != c.Direction {
			title := map[policy.Direction][2]string{policy.Looser: {red, "LOOSER"}, policy.Stricter: {yellow, "STRICTER"},
				policy.Reworded: {faint, "THE SAME VERDICT, by another rule or for another reason"}}[c.Direction]
			x.printf("%s: %d\n", x.paint(title[0], title[1]), count[c.Direction])
		}
		x.printf("%7d  %s -> %s\n", c.Count, safeText(c.Old.String()), safeText(c.New.String()))
		for _, e := range c.Examples {
			x.printf("         %s\n", x.paint(faint, x.example(e)))
		}
	}
	if x.CannotTell > 0 {
		x.printf("%s: %d\n", x.paint(yellow, "CANNOT BE TOLD, because the pack does not disclose"), x.CannotTell)
	}
	for _, u := range x.Unknowns() {
		x.printf("%7d  %s, such as %s %d\n", u.Count, safeText(strings.Join(u.Hidden, ", ")), x.place, u.First)
	}
	x.printf("%d calls, %s version %d -> %s version %d: %d the same, %d looser, %d stricter, %d by another rule, of %d it cannot be told\n",
		x.Calls, safeText(x.Old.ID()), x.Old.Version(), safeText(x.New.ID()), x.New.Version(),
		x.Same, count[policy.Looser], count[policy.Stricter], count[policy.Reworded], x.CannotTell)
	for _, n := range x.notes() {
		x.printf("%s\n", n)
	}
	return nil
}

func (x *diffing) example(e policy.Example) string {
	args := []rune(string(shown(e.Input.Arguments).Append(nil)))
	if len(args) > maxShown {
		args = append(args[:maxShown], '…')
	}
	return safeText(fmt.Sprintf("%s %d: %s/%s %s %s", x.place, e.Place, e.Input.Agent, e.Input.Session, e.Input.Tool, string(args)))
}

// notes say what the numbers leave out.
func (x *diffing) notes() (out []string) {
	if x.Calls == 0 {
		out = append(out, "there is no call: nothing can be told")
	}
	if x.kernel > 0 {
		out = append(out, fmt.Sprintf("%d of the calls the kernel itself had decided, such as by a freeze: they are compared by what the policies say", x.kernel))
	}
	if x.Old.Budgeted() || x.New.Budgeted() {
		out = append(out, "budgets are not compared: an ALLOW is one, whatever is left of them")
	}
	if x.Old.Escalates() || x.New.Escalates() {
		out = append(out, "approvals are not compared: an ESCALATE is one, whoever may answer it and whatever the answer was")
	}
	return out
}

func (x *diffing) object() any {
	type example struct {
		Place     uint64         `json:"place"`
		Agent     string         `json:"agent"`
		Session   string         `json:"session"`
		Tool      string         `json:"tool"`
		Arguments jsontext.Value `json:"arguments"`
		Context   jsontext.Value `json:"context,omitzero"`
	}
	type change struct {
		Direction policy.Direction `json:"direction"`
		Old       policy.Said      `json:"old"`
		New       policy.Said      `json:"new"`
		Count     uint64           `json:"count"`
		Examples  []example        `json:"examples"`
	}
	type side struct {
		ID      string    `json:"id"`
		Version int64     `json:"version"`
		SHA256  string    `json:"sha256"`
		Mode    helm.Mode `json:"mode"`
	}
	of := func(p *policy.Policy) side { return side{p.ID(), p.Version(), fmt.Sprintf("%x", p.SHA256()), p.Mode()} }
	var changes []change
	for _, c := range x.Changes() {
		to := change{c.Direction, c.Old, c.New, c.Count, nil}
		for _, e := range c.Examples {
			one := example{Place: e.Place, Agent: e.Input.Agent, Session: e.Input.Session, Tool: e.Input.Tool, Arguments: shown(e.Input.Arguments).Append(nil)}
			if e.Input.Context.Kind != strictjson.Null {
				one.Context = shown(e.Input.Context).Append(nil)
			}
			to.Examples = append(to.Examples, one)
		}
		changes = append(changes, to)
	}
	return struct {
		Old        side              `json:"old"`
		New        side              `json:"new"`
		Verified   string            `json:"verified,omitzero"`
		PlaceIs    string            `json:"place_is"`
		Calls      uint64            `json:"calls"`
		Same       uint64            `json:"same"`
		Changed    uint64            `json:"changed"`
		CannotTell uint64            `json:"cannot_tell"`
		Kernel     uint64            `json:"kernel"`
		Changes    []change          `json:"changes"`
		Unknown    []*policy.Unknown `json:"unknown"`
		Notes      []string          `json:"notes"`
	}{of(x.Old), of(x.New), x.verified, x.place, x.Calls, x.Same, x.Changed, x.CannotTell, x.kernel, changes, x.Unknowns(), x.notes()}
}

// shown is a value in which what is hidden says so.
func shown(v strictjson.Value) strictjson.Value {
	switch v.Kind {
	case strictjson.Hidden:
		return strictjson.Value{Kind: strictjson.String, Text: "(hidden)"}
	case strictjson.Array:
		v.Elems = slices.Clone(v.Elems)
		for i, e := range v.Elems {
			v.Elems[i] = shown(e)
		}
	case strictjson.Object:
		v.Members = slices.Clone(v.Members)
		for i, m := range v.Members {
			v.Members[i].Value = shown(m.Value)
		}
	}
	return v
}
