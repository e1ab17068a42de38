package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// reportFor is how long an outcome may take to be recorded, once it is tried.
const reportFor = 10 * time.Second

// A call is a tools/call.
type call struct {
	request *message
	params  *params
	about   client
	name    string // the tool's in calls
	id      string // the kernel's call_id
	sent    time.Time
	ctx     context.Context
	stop    context.CancelFunc // ends waiting for people
}

// params are those of tools/call.
type params struct {
	tool      string
	arguments jsontext.Value // an object
	meta      meta
	round     round
}

// readParams reads the params of a tools/call. A member that differs from a known one in its
// case alone is refused: some servers take one for the other.
func readParams(v jsontext.Value) (*params, error) {
	p := &params{}
	if v == nil {
		return nil, errors.New("there are no params")
	}
	err := members(v, strict, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "name":
			p.tool, err = text(name, v)
		case "arguments":
			if p.arguments = v; v.Kind() != '{' {
				err = errors.New("arguments are no object")
			}
		case "_meta":
			p.meta, err = readMeta(v)
		case "inputResponses":
			p.round.responses = v
		case "requestState":
			p.round.state, err = text(name, v)
		default:
			for _, known := range []string{"name", "arguments", "_meta", "task", "inputResponses", "requestState"} {
				if name != known && strings.EqualFold(name, known) {
					err = fmt.Errorf("%.40q is not %q", name, known)
				}
			}
		}
		return err
	})
	if err == nil && p.tool == "" {
		err = errors.New("there is no name")
	}
	if p.arguments == nil {
		p.arguments = jsontext.Value("{}")
	}
	return p, err
}

// called takes a tools/call, and has it decided.
func (r *Relay) called(ctx context.Context, p *pending, m *message) {
	c := &call{request: m}
	c.ctx, c.stop = context.WithCancel(ctx)
	var err error
	if c.params, err = readParams(m.params); err != nil {
		r.done(c)
		r.tell(c, "The call was not made: it cannot be read: "+err.Error()+".")
		return
	}
	r.mu.Lock()
	r.seq++
	c.about = r.who.of(c.params.meta)
	c.name, c.id = r.full(c.params.tool), helm.Name(fmt.Sprintf("%d-%s", r.seq, m.rawID))
	full, closed := r.deciding >= MaxCalls, r.closed
	if !full && !closed {
		p.call = c
		r.deciding++
		r.calls.Add(1)
	}
	r.mu.Unlock()
	switch {
	case closed:
		r.done(c)
		r.tell(c, "The call was not made: the session ends.")
		return
	case full:
		r.done(c)
		r.tell(c, fmt.Sprintf("The call was not made: %d others wait to be decided. Make it again later.", MaxCalls))
		return
	}
	go func() {
		defer func() {
			c.stop()
			r.mu.Lock()
			r.deciding--
			r.mu.Unlock()
			r.calls.Done()
		}()
		why, needs := r.decide(c)
		switch {
		case needs != nil:
			if r.done(c) {
				r.ask(c, needs)
			}
		case why != "":
			if r.done(c) {
				r.tell(c, why)
			}
		}
	}()
}

// done forgets a request that the relay answers itself, and reports whether the client still
// wants an answer.
func (r *Relay) done(c *call) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending[c.request.id]
	delete(r.pending, c.request.id)
	return p != nil && !p.cancelled
}

// decide puts a call to the kernel, and forwards it when it is allowed. Else it returns what
// the client is told, or what its user is asked.
func (r *Relay) decide(c *call) (why string, needs *needed) {
	defer func() {
		if p := recover(); p != nil {
			why, needs = fmt.Sprintf("The call was not made: helm-ai-kernel failed: %v.", p), nil
		}
	}()
	if before := r.rounds.take(r, c); before != nil { // an allowed call that the server had questions about
		c.id, c.sent = before.id, before.sent
		r.forward(c)
		return "", nil
	}
	if err := r.userAnswered(c); err != nil {
		return fmt.Sprintf("The call was not made: the answer of its user could not be handed in: %s.", err), nil
	}
	definition, err := r.definition(c.ctx, c.params.tool, c.about)
	if err != nil {
		return fmt.Sprintf("The call was not decided, and was not made: %s.", err), nil
	}
	situation := map[string]string{"definition": definition}
	if c.about.name != "" {
		situation["client"] = c.about.name
	}
	b, err := json.Marshal(situation)
	if err != nil {
		return fmt.Sprintf("The call was not made: %s.", err), nil
	}
	asked := helm.Call{Agent: r.Agent, Session: r.Session, CallID: c.id, Tool: c.name, Arguments: json.RawMessage(c.params.arguments), Context: b}
	// A decision that was asked for is waited for, whoever has gone: it may be an ALLOW.
	ctx, stop := context.WithTimeout(context.WithoutCancel(c.ctx), MaxAsk)
	defer stop()
	d, err := r.Kernel.Decide(ctx, asked, 0)
	if err == nil && d.Verdict == helm.Escalate && d.Enforced && d.Approval != nil {
		if needs := r.needed(c, d); needs != nil {
			return "", needs
		}
		d, err = r.wait(c, asked, d)
	}
	switch {
	case err != nil:
		return fmt.Sprintf("The call was not decided, and was not made: %s. Nothing is made until the kernel answers.", strings.TrimSuffix(err.Error(), ".")), nil
	case !d.Verdict.Valid():
		return fmt.Sprintf("The call was not made: the kernel answered %.20q.", d.Verdict), nil
	case d.Verdict != helm.Allow && d.Enforced:
		return refusal(d), nil
	case d.Repeated:
		return fmt.Sprintf("The call was not made again: its decision, receipt %s, was given before.", d.ID), nil
	}
	r.forward(c)
	return "", nil
}

// refusal is what a model is told of a call that was not allowed.
func refusal(d *Decision) string {
	s := fmt.Sprintf("%s by %s (%s): %s The call was not made.", d.Verdict, d.Rule, d.Reason.Code, sentence(d.Reason.Message))
	if d.Verdict == helm.Escalate && d.Approval != nil {
		return s + fmt.Sprintf(" A person has to approve this very call, until %s: %s. When it is approved, make the same call again, with each argument word for word.", d.Approval.Expires, d.Approval.Approve)
	}
	return s + " The same call gets the same answer under this policy. Receipt " + d.ID
}

func sentence(s string) string {
	if s == "" || s[len(s)-1] == '.' {
		return s
	}
	return s + "."
}

// forward passes an allowed call on, unless the client cancelled it meanwhile.
func (r *Relay) forward(c *call) {
	raw := c.request.raw
	if c.params.round.mine {
		raw = c.withoutRound()
	}
	r.mu.Lock()
	p := r.pending[c.request.id]
	if p.cancelled {
		delete(r.pending, c.request.id)
		r.mu.Unlock()
		r.report(c, helm.OutcomeNotExecuted, object("cancelled", "before the server was told"))
		return
	}
	p.forwarded = true
	c.sent = time.Now()
	r.mu.Unlock()
	r.toServer(raw)
}

// answered takes the server's answer to a call.
func (r *Relay) answered(c *call, m *message) {
	if m.fault != nil {
		r.report(c, helm.OutcomeError, json.RawMessage(fmt.Sprintf(`{"error":%s}`, m.fault)))
		return
	}
	a := readAnswer(m.result)
	if r.rounds.put(r, c, a) {
		return
	}
	status := helm.OutcomeOK
	if a.failed {
		status = helm.OutcomeError
	}
	r.report(c, status, json.RawMessage(m.result))
}

// An answer is what a result of tools/call says of itself.
type answer struct {
	failed bool   // isError
	asks   bool   // it has questions, and is no result yet
	state  string // to be handed back with the answers to them
	task   string // what goes on, and has its result later
}

func readAnswer(result jsontext.Value) (a answer) {
	members(result, lenient, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "isError":
			a.failed = v.Kind() == 't'
		case "resultType":
			kind, _ := text(name, v)
			a.asks = kind == "input_required"
		case "requestState":
			a.state, _ = text(name, v)
		case "task":
			a.task = taskOf(v)
		}
		return nil
	})
	return a
}

func taskOf(v jsontext.Value) (id string) {
	if v != nil {
		members(v, lenient, func(name string, v jsontext.Value) error {
			if name == "taskId" {
				id, _ = text(name, v)
			}
			return nil
		})
	}
	return id
}

// report reports an outcome, while the session goes on. A result that cannot be recorded, for
// its size or its form, is recorded as its size and hash.
func (r *Relay) report(c *call, status helm.OutcomeStatus, result json.RawMessage) {
	o := Outcome{Agent: r.Agent, Session: r.Session, CallID: c.id, Status: status, Result: result}
	if !c.sent.IsZero() {
		o.Duration = time.Since(c.sent)
	}
	r.reports.Go(func() {
		r.slots <- struct{}{}
		defer func() { <-r.slots }()
		if len(result) > helm.MaxInputBytes {
			o.Result = Summary(result)
		}
		var err error
		for pause := 100 * time.Millisecond; pause < 5*time.Second; pause *= 5 {
			ctx, stop := context.WithTimeout(context.Background(), reportFor)
			err = r.Kernel.Report(ctx, o)
			stop()
			unfit := (*UnfitError)(nil)
			switch {
			case err == nil:
				return
			case errors.As(err, &unfit):
				o.Result = Summary(result)
				continue
			}
			time.Sleep(pause)
		}
		r.log("the outcome of call %s was not recorded: %v", c.id, err)
	})
}

// tell answers a call with a result that says why it was not made.
func (r *Relay) tell(c *call, why string) {
	res := &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: why}}, IsError: true}
	b, err := json.Marshal(res)
	if err != nil {
		b = []byte(`{"content":[],"isError":true}`)
	}
	r.answer(c.request.rawID, "result", c.about.complete(b))
}
