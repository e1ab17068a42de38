package mcp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// Limits of one session.
const (
	MaxCalls     = 256  // calls that are being decided
	maxPending   = 8192 // requests of the client that the server has not answered
	maxCancelled = 1024 // of which so many are remembered that were cancelled
)

// ErrServerEnded means that the server ended while the client was still there.
var ErrServerEnded = errors.New("the MCP server ended")

// A Relay stands between one client and one server, for one session. Its exported fields are
// set before Run and not changed.
type Relay struct {
	Name    string        // the server's: what its tools' names begin with
	Agent   string        // who calls
	Session string        // of the calls, new for each Relay
	Wait    time.Duration // how long a call waits for people
	Kernel  Kernel
	Log     func(string) // told what the client is not, or nil

	client, server Wire
	mark           string // begins the ids of the relay's own requests, which nobody can guess

	calls   sync.WaitGroup // that are being decided
	reports sync.WaitGroup // outcomes that are being reported
	slots   chan struct{}  // one for each of the reports

	listing sync.Mutex // held while the relay itself asks the server for its tools
	told    *told      // shared by the relays of a gateway before one server

	mu        sync.Mutex // guards what follows
	closed    bool       // no more calls are taken
	seq       uint64
	deciding  int
	pending   map[string]*pending
	cancelled []string // ids in pending, oldest first
	atClient  map[string]chan *message
	atServer  map[string]chan *message
	who       client // what initialize said
	tools     tools
	rounds    rounds
}

// A pending request of the client is not answered yet.
type pending struct {
	rawID     jsontext.Value
	method    string
	task      string // tasks/result: of this task
	page      *page  // tools/list
	call      *call  // tools/call, until its outcome is known
	forwarded bool   // the server knows of it
	cancelled bool
}

// Run relays until both sides have ended, and every outcome is reported or given up. The
// client's end, or that of ctx, is the session's; when the server ends first it returns
// ErrServerEnded.
func (r *Relay) Run(ctx context.Context, client, server Wire) error {
	r.client, r.server = client, server
	r.mark = "helm-" + rand.Text()
	if r.told == nil {
		r.told = new(told)
	}
	r.slots = make(chan struct{}, 64)
	r.pending, r.atClient, r.atServer = map[string]*pending{}, map[string]chan *message{}, map[string]chan *message{}
	ctx, stop := context.WithCancel(ctx) // ends what waits for people or for the server
	defer stop()

	left := make(chan error, 1)
	go func() {
		for {
			raw, err := client.Read()
			if err != nil {
				left <- err
				return
			}
			r.fromClient(ctx, raw)
		}
	}()
	ended := make(chan error, 1)
	go func() {
		for {
			raw, err := server.Read()
			if err != nil {
				ended <- err
				return
			}
			r.fromServer(ctx, raw)
		}
	}()

	var err error
	select {
	case err = <-left:
	case <-ctx.Done():
		err = io.EOF
	case serr := <-ended:
		if err = ErrServerEnded; serr != io.EOF {
			err = fmt.Errorf("%w: %w", ErrServerEnded, serr)
		}
		stop()
		r.close()
		r.lost(true)
		r.reports.Wait()
		return err
	}
	stop()
	r.close()
	server.Close()
	<-ended
	r.lost(false)
	r.reports.Wait()
	if err != io.EOF {
		return fmt.Errorf("read what the client says: %w", err)
	}
	return nil
}

// close takes no more calls, and waits for those that are being decided.
func (r *Relay) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.calls.Wait()
}

func (r *Relay) log(format string, args ...any) {
	if r.Log != nil {
		r.Log(fmt.Sprintf(format, args...))
	}
}

func (r *Relay) fromClient(ctx context.Context, raw []byte) {
	m, err := readMessage(raw, true)
	if err != nil {
		r.log("a message of the client was not passed on: %v", err)
		r.refuse(nil, jsonrpc.CodeInvalidRequest, "not passed on: "+err.Error())
		return
	}
	switch {
	case m.method == "":
		if !r.deliver(r.atClient, m) {
			r.toServer(m.raw)
		}
	case m.notification():
		r.notified(m)
	default:
		r.requested(ctx, m)
	}
}

// notified passes on a notification of the client, unless it is one of a call that the server
// does not know of, or a call itself: nobody could be told what came of it.
func (r *Relay) notified(m *message) {
	switch m.method {
	case "tools/call":
		r.log("a tools/call without an id was not passed on")
		return
	case "notifications/cancelled":
		if !r.cancel(m) {
			return
		}
	}
	r.toServer(m.raw)
}

// requested takes a request of the client.
func (r *Relay) requested(ctx context.Context, m *message) {
	p := &pending{rawID: m.rawID, method: m.method}
	r.mu.Lock()
	_, twice := r.pending[m.id]
	full := len(r.pending) >= maxPending
	if m.id != "" && !twice && !full {
		r.pending[m.id] = p
	}
	r.mu.Unlock()
	switch {
	case m.id == "":
		r.log("a request was not passed on: its id is null")
		r.refuse(nil, jsonrpc.CodeInvalidRequest, "not passed on: the id is null")
		return
	case twice: // an answer with this id would be taken for that of the other
		r.log("a request was not passed on: its id %.100s is that of another that is not answered", m.rawID)
		r.refuse(nil, jsonrpc.CodeInvalidRequest, "not passed on: the id is that of another request that is not answered")
		return
	case full:
		r.refuse(m.rawID, jsonrpc.CodeInternalError, fmt.Sprintf("not passed on: %d requests are not answered", maxPending))
		return
	}
	switch m.method {
	case "tools/call":
		r.called(ctx, p, m)
		return
	case "initialize":
		r.mu.Lock()
		r.who = initialized(m.params)
		r.mu.Unlock()
	case "tools/list":
		p.page = r.pageOf(m.params)
	case "tasks/result":
		p.task = taskOf(m.params)
	}
	r.mu.Lock()
	p.forwarded = true
	r.mu.Unlock()
	r.toServer(m.raw)
}

func (r *Relay) fromServer(ctx context.Context, raw []byte) {
	m, err := readMessage(raw, false)
	if err != nil {
		r.log("a line of the server was not passed on: %v: %.200q", err, raw)
		return
	}
	if m.method != "" {
		if m.method == "notifications/tools/list_changed" {
			r.mu.Lock()
			r.tools.stale()
			r.mu.Unlock()
		}
		r.toClient(m.raw)
		return
	}
	if r.deliver(r.atServer, m) {
		return
	}
	r.mu.Lock()
	p := r.pending[m.id]
	known := p != nil && p.forwarded
	var c *call
	if known {
		delete(r.pending, m.id)
		c, p.call = p.call, nil
	}
	r.mu.Unlock()
	switch {
	case !known: // nobody asked, or the server is not to know yet
		r.log("an answer of the server to no request was not passed on: id %.100s", m.rawID)
		return
	case c != nil:
		r.answered(c, m)
	case p.page != nil && m.result != nil: // the kernel is told before the client can call them
		if _, err := r.listed(ctx, p.page, m.result); err != nil {
			r.log("the tools of %s are not pinned, and its calls are denied: %v", r.Name, err)
		}
	case p.task != "":
		r.taskEnded(p.task, m)
	}
	r.toClient(m.raw)
}

// cancel takes the client's notice that it no longer wants an answer, and reports whether the
// server is to be told.
func (r *Relay) cancel(m *message) bool {
	var id, reason string
	err := members(m.params, strict, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "requestId":
			id, err = key(v)
		case "reason":
			reason, err = text(name, v)
		}
		return err
	})
	if err != nil {
		r.log("a notice of cancellation was not passed on: %v", err)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending[id]
	if p == nil {
		return true // it was answered meanwhile
	}
	p.cancelled = true
	if p.call != nil {
		p.call.stop()
	}
	if !p.forwarded {
		return false
	}
	if c := p.call; c != nil {
		p.call = nil
		r.report(c, helm.OutcomeError, object("cancelled", reason))
	}
	// The server need not answer now, and may all the same.
	r.cancelled = append(r.cancelled, id)
	if len(r.cancelled) > maxCancelled {
		if old := r.pending[r.cancelled[0]]; old != nil && old.cancelled {
			delete(r.pending, r.cancelled[0])
		}
		r.cancelled = r.cancelled[1:]
	}
	return true
}

// lost ends what the server did not answer.
func (r *Relay) lost(tell bool) {
	r.mu.Lock()
	left, open := r.pending, r.rounds.all()
	r.pending = map[string]*pending{}
	r.mu.Unlock()
	for _, p := range left {
		switch {
		case p.call != nil:
			r.report(p.call, helm.OutcomeError, object("lost", "the server ended before it answered"))
			if tell && !p.cancelled {
				r.tell(p.call, "The MCP server "+r.Name+" ended before it answered: whether the call was made is not known.")
			}
		case tell && !p.cancelled:
			r.refuse(p.rawID, jsonrpc.CodeInternalError, "the MCP server ended before it answered")
		}
	}
	for _, c := range open {
		r.report(c, helm.OutcomeError, object("lost", "the session ended before the call did"))
	}
}

// own sends a request of the relay itself, and waits for the answer.
func (r *Relay) own(ctx context.Context, to Wire, at map[string]chan *message, method string, params any) (*message, error) {
	b, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	answer := make(chan *message, 1)
	r.mu.Lock()
	r.seq++
	name := fmt.Sprintf("%s-%d", r.mark, r.seq)
	at["s"+name] = answer
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(at, "s"+name)
		r.mu.Unlock()
	}()
	id, err := jsonrpc.MakeID(name)
	if err != nil {
		return nil, err
	}
	raw, err := jsonrpc.EncodeMessage(&jsonrpc.Request{ID: id, Method: method, Params: b})
	if err == nil {
		err = to.Write(raw)
	}
	if err != nil {
		return nil, err
	}
	select {
	case m := <-answer:
		return m, nil
	case <-ctx.Done():
		notice, _ := json.Marshal(map[string]string{"requestId": name, "reason": "no longer wanted"})
		if raw, err := jsonrpc.EncodeMessage(&jsonrpc.Request{Method: "notifications/cancelled", Params: notice}); err == nil {
			to.Write(raw)
		}
		return nil, ctx.Err()
	}
}

// deliver gives an answer to the relay itself.
func (r *Relay) deliver(at map[string]chan *message, m *message) bool {
	r.mu.Lock()
	answer := at[m.id]
	delete(at, m.id)
	r.mu.Unlock()
	if answer == nil {
		return false
	}
	answer <- m
	return true
}

// What cannot be written is not: the reader of that side sees its end.
func (r *Relay) toServer(raw []byte) { r.server.Write(raw) }
func (r *Relay) toClient(raw []byte) { r.client.Write(raw) }

// answer answers a request of the client.
func (r *Relay) answer(id jsontext.Value, member string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`{}`)
	}
	if id == nil {
		id = jsontext.Value("null")
	}
	r.toClient(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,%q:%s}`, id, member, b))
}

func (r *Relay) refuse(id jsontext.Value, code int64, why string) {
	r.answer(id, "error", &jsonrpc.Error{Code: code, Message: "helm-ai-kernel: " + why})
}

// object is a JSON object of one member.
func object(name, value string) json.RawMessage {
	b, err := json.Marshal(map[string]string{name: value})
	if err != nil {
		return nil
	}
	return b
}
