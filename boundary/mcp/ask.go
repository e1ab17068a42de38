package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

const (
	// lookFor is how long one question to the kernel waits for people: so long a session's
	// end may take.
	lookFor = 5 * time.Second
	// tellEvery is how often a client that waits is told so: many give up after a minute of
	// silence.
	tellEvery = 5 * time.Second
	// maxShown bounds the arguments that a user is shown. Nobody is asked for more: nobody
	// answers to what he was not shown.
	maxShown = 4096
	// ours names the relay's question among a call's.
	ours = "helm-ai-kernel"
)

// wait waits for people, and returns the last decision. Where the client's user may answer
// and can be asked, he is.
func (r *Relay) wait(c *call, asked helm.Call, d *Decision) (*Decision, error) {
	if c.params.round.dismissed {
		return d, nil
	}
	var beside sync.WaitGroup // who asks and tells meanwhile says nothing after the answer
	defer beside.Wait()
	ctx, stop := context.WithTimeout(c.ctx, r.Wait)
	defer stop()
	if question, ok := r.question(c, d); ok && !c.about.stateless {
		approval := d.Approval.ID
		beside.Go(func() {
			if err := r.elicit(ctx, approval, question); err != nil && ctx.Err() == nil {
				r.log("the client's user was asked, and his answer not taken: %v", err)
				stop()
			}
		})
	}
	if c.params.meta.progress != nil {
		approval := d.Approval
		beside.Go(func() { r.progress(ctx, c, approval) })
	}
	for ctx.Err() == nil {
		until, _ := ctx.Deadline()
		err := error(nil)
		// Whoever goes meanwhile, what comes of it is to be known.
		ask, done := context.WithTimeout(context.WithoutCancel(c.ctx), MaxAsk)
		d, err = r.Kernel.Decide(ask, asked, min(lookFor, max(0, time.Until(until))))
		done()
		if err != nil || d.Verdict != helm.Escalate || !d.Enforced || d.Approval == nil {
			return d, err
		}
	}
	return d, nil
}

// question is what the client's user is asked, if he may answer and can be asked.
func (r *Relay) question(c *call, d *Decision) (*mcp.ElicitParams, bool) {
	shown := Visible(string(c.params.arguments))
	if !d.Approval.ByClient || !c.about.elicits || len(shown) > maxShown || r.Wait == 0 {
		return nil, false
	}
	return &mcp.ElicitParams{Mode: "form", RequestedSchema: json.RawMessage(`{"type":"object","properties":{}}`),
		Message: fmt.Sprintf("The agent asks to call %s with %s\n\nRule %s asks for your approval (%s): %s\nAccept to approve this one call, decline to refuse it.",
			c.name, shown, d.Rule, d.Reason.Code, sentence(d.Reason.Message))}, true
}

// elicit asks the client's user, and hands in what he answers.
func (r *Relay) elicit(ctx context.Context, approval string, question *mcp.ElicitParams) error {
	m, err := r.own(ctx, r.client, r.atClient, "elicitation/create", question)
	if err != nil {
		return err
	}
	if m.result == nil {
		return fmt.Errorf("the client answered %.200s", m.fault)
	}
	return r.handIn(ctx, approval, action(m.result))
}

// errDismissed is a question that was closed without an answer.
var errDismissed = errors.New("the question was closed without an answer")

func (r *Relay) handIn(ctx context.Context, approval, action string) error {
	switch action {
	case "accept":
		return r.Kernel.Answer(ctx, approval, true)
	case "decline":
		return r.Kernel.Answer(ctx, approval, false)
	}
	return errDismissed
}

func action(result jsontext.Value) (a string) {
	members(result, strict, func(name string, v jsontext.Value) error {
		if name == "action" {
			a, _ = text(name, v)
		}
		return nil
	})
	return a
}

// progress tells the client that its call waits. The numbers only grow, and stay below what
// the server may begin with.
func (r *Relay) progress(ctx context.Context, c *call, a *Approval) {
	what := fmt.Sprintf("waits for an approval, until %s: %s", a.Expires, a.Approve)
	for n := 1; ctx.Err() == nil; n++ {
		r.toClient(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%g,"message":%q}}`, c.params.meta.progress, float64(n)/1e6, what))
		select {
		case <-ctx.Done():
		case <-time.After(tellEvery):
		}
	}
}

// needed is a question that is the answer to a call, which the client makes again with the
// user's answer: so revision 2026-07-28 has it.
type needed struct {
	state    string
	question *mcp.ElicitParams
}

func (r *Relay) needed(c *call, d *Decision) *needed {
	question, ok := r.question(c, d)
	if !ok || !c.about.stateless || c.params.round.dismissed {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rounds.asked == nil || len(r.rounds.asked) >= maxOpen {
		r.rounds.asked = map[string]string{} // who answers to a forgotten question is asked again
	}
	r.seq++
	n := &needed{fmt.Sprintf("%s-%d", r.mark, r.seq), question}
	r.rounds.asked[n.state] = d.Approval.ID + sameCall(c, n.state)
	return n
}

func (r *Relay) ask(c *call, n *needed) {
	r.answer(c.request.rawID, "result", map[string]any{"resultType": "input_required", "requestState": n.state,
		"inputRequests": mcp.InputRequestMap{ours: n.question}})
}

// userAnswered hands in what the user answered to a question of the relay, if the call has
// such an answer.
func (r *Relay) userAnswered(c *call) error {
	round := &c.params.round
	var theirs jsontext.Value
	if round.responses != nil {
		if err := members(round.responses, strict, func(name string, v jsontext.Value) error {
			if name == ours {
				theirs = v
			}
			return nil
		}); err != nil {
			return fmt.Errorf("inputResponses: %w", err)
		}
	}
	r.mu.Lock()
	asked := r.rounds.asked[round.state]
	delete(r.rounds.asked, round.state)
	r.mu.Unlock()
	if asked == "" && theirs == nil {
		return nil
	}
	round.mine = true
	same := sameCall(c, round.state)
	if len(asked) <= len(same) || asked[len(asked)-len(same):] != same || theirs == nil {
		return nil // another call, or an old question: it is decided, and asked for again
	}
	err := r.handIn(c.ctx, asked[:len(asked)-len(same)], action(theirs))
	if errors.Is(err, errDismissed) {
		round.dismissed = true
		return nil
	}
	return err
}

// withoutRound is the request as the client would have made it the first time.
func (c *call) withoutRound() []byte {
	params := []byte{'{'}
	members(c.request.params, strict, func(name string, v jsontext.Value) error {
		if name == "inputResponses" || name == "requestState" {
			return nil
		}
		if len(params) > 1 {
			params = append(params, ',')
		}
		params, _ = jsontext.AppendQuote(params, name)
		params = append(append(params, ':'), v...)
		return nil
	})
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":%s}`, c.request.rawID, append(params, '}'))
}
