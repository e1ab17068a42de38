package mcp

import (
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// maxOpen bounds the calls that are open at once between two requests of the client.
const maxOpen = 1024

// A round is what a tools/call has that goes on with one before it: since revision
// 2026-07-28 a server's questions are the answer to a call, which is made again with theirs.
type round struct {
	responses jsontext.Value
	state     string
	mine      bool // the questions were the relay's: the server is told nothing of them
	dismissed bool // and the user closed them without an answer
}

// rounds are allowed calls that are open between two requests of the client: they have one
// decision and one outcome, which is that of their last result. A call goes on as what was
// decided, or not at all: the tool and the arguments must be the same.
type rounds struct {
	open  map[string]*call  // by sameCall: with questions of the server
	tasks map[string]*call  // by the id of a task, whose result is asked for by tasks/result
	asked map[string]string // by a state of ours: approval and sameCall
}

// sameCall is equal for calls of one tool with the same arguments, that hand back the same
// state.
func sameCall(c *call, state string) string {
	arguments, err := jsontext.AppendFormat(nil, c.params.arguments, jsontext.ReorderRawObjects(true), jsontext.PreserveRawStrings(false),
		jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	if err != nil {
		arguments = c.params.arguments
	}
	b, err := json.Marshal([]string{c.name, string(arguments), state})
	if err != nil {
		return ""
	}
	return string(b)
}

// take returns the allowed call that this one goes on with, once.
func (o *rounds) take(r *Relay, c *call) *call {
	if c.params.round.responses == nil {
		return nil
	}
	k := sameCall(c, c.params.round.state)
	r.mu.Lock()
	defer r.mu.Unlock()
	before := o.open[k]
	delete(o.open, k)
	return before
}

// put keeps a call open that has no result yet, and reports whether it did.
func (o *rounds) put(r *Relay, c *call, a answer) bool {
	in, k := &o.open, sameCall(c, a.state)
	switch {
	case a.asks:
	case a.task != "":
		in, k = &o.tasks, a.task
	default:
		return false
	}
	r.mu.Lock()
	if *in == nil {
		*in = map[string]*call{}
	}
	before, there := (*in)[k]
	if !there && len(*in) >= maxOpen {
		r.mu.Unlock()
		return false
	}
	(*in)[k] = c
	r.mu.Unlock()
	if before != nil && before != c {
		r.report(before, helm.OutcomeError, object("lost", "the same call was begun again before this one ended"))
	}
	return true
}

// all takes what is open.
func (o *rounds) all() (out []*call) {
	for _, c := range o.open {
		out = append(out, c)
	}
	for _, c := range o.tasks {
		out = append(out, c)
	}
	o.open, o.tasks = nil, nil
	return out
}

// taskEnded takes the answer to a tasks/result.
func (r *Relay) taskEnded(task string, m *message) {
	r.mu.Lock()
	c := r.rounds.tasks[task]
	delete(r.rounds.tasks, task)
	r.mu.Unlock()
	if c != nil {
		r.answered(c, m)
	}
}
