// Sampling, roots and logging are deprecated in revision 2026-07-28, and belong to the one before it.
//
//lint:file-ignore SA1019 the gateway passes them on

package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// What a gateway passes on: from the client to the server that it means, and back.

// options are those of the server that the client sees.
func (s *gateSession) options() *mcp.ServerOptions {
	return &mcp.ServerOptions{
		Capabilities: &mcp.ServerCapabilities{Logging: &mcp.LoggingCapabilities{}, Tools: &mcp.ToolCapabilities{ListChanged: true}},
		CompletionHandler: func(ctx context.Context, r *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			for _, u := range s.upstreams {
				ref := *r.Params.Ref
				switch {
				case u.has(&u.prompts, ref.Name):
					ref.Name = ref.Name[len(u.Prefix):]
				case !u.has(&u.uris, ref.URI):
					continue
				}
				return u.client.Complete(ctx, &mcp.CompleteParams{Meta: outward(r.Params.Meta), Ref: &ref, Argument: r.Params.Argument, Context: r.Params.Context})
			}
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "no server has what is to be completed"}
		},
		SubscribeHandler: func(ctx context.Context, r *mcp.SubscribeRequest) error {
			return s.ofURI(r.Params.URI, func(u *upstream) error {
				return u.client.Subscribe(ctx, &mcp.SubscribeParams{URI: r.Params.URI})
			})
		},
		UnsubscribeHandler: func(ctx context.Context, r *mcp.UnsubscribeRequest) error {
			return s.ofURI(r.Params.URI, func(u *upstream) error {
				return u.client.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: r.Params.URI})
			})
		},
		RootsListChangedHandler: func(context.Context, *mcp.RootsListChangedRequest) {
			for _, u := range s.upstreams { // which root it is does not matter: they ask for the client's
				u.seen.AddRoots(&mcp.Root{URI: "file:///"})
			}
		},
	}
}

// ofURI asks the server that listed a resource, or each until one has it.
func (s *gateSession) ofURI(uri string, f func(*upstream) error) error {
	for _, u := range s.upstreams {
		if u.has(&u.uris, uri) {
			return f(u)
		}
	}
	err := error(&jsonrpc.Error{Code: mcp.CodeResourceNotFound, Message: "Resource not found"})
	for _, u := range s.upstreams {
		if err = f(u); err == nil {
			return nil
		}
	}
	return err
}

// outward is a _meta without what belongs to one hop.
func outward(m mcp.Meta) mcp.Meta {
	out := mcp.Meta{}
	for k, v := range m {
		switch k {
		case mcp.MetaKeyProtocolVersion, mcp.MetaKeyClientInfo, mcp.MetaKeyClientCapabilities, "progressToken":
		default:
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// begin keeps in mind that a server works on a client's request.
func (s *gateSession) begin(ctx context.Context, to *mcp.ServerSession, of *upstream, token any) (*liveCall, func()) {
	ctx, stop := context.WithCancel(ctx)
	ended := context.AfterFunc(s.ctx, stop)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	c := &liveCall{ctx: ctx, to: to, of: of, own: fmt.Sprint("gateway-", s.seq), token: token}
	s.calls = append(s.calls, c)
	return c, func() {
		ended()
		stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = slices.DeleteFunc(s.calls, func(other *liveCall) bool { return other == c })
	}
}

// about is the call that a server's word belongs to: the newest that it works on.
func (s *gateSession) about(of *upstream) (context.Context, *mcp.ServerSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range slices.Backward(s.calls) {
		if c.of == of {
			return c.ctx, c.to
		}
	}
	return context.Background(), s.client
}

// options are those of the client that a server sees: what the real one can do.
func (u *upstream) options() *mcp.ClientOptions {
	s := u.session
	o := &mcp.ClientOptions{Capabilities: s.capabilities, MultiRoundTrip: &mcp.MultiRoundTripOptions{Disabled: true},
		ToolListChangedHandler: func(ctx context.Context, _ *mcp.ToolListChangedRequest) { u.again(ctx, u.readTools) },
		PromptListChangedHandler: func(ctx context.Context, _ *mcp.PromptListChangedRequest) {
			go u.readPrompts(context.WithoutCancel(ctx))
		},
		ResourceListChangedHandler: func(ctx context.Context, _ *mcp.ResourceListChangedRequest) {
			go u.readResources(context.WithoutCancel(ctx))
		},
		ResourceUpdatedHandler: func(ctx context.Context, r *mcp.ResourceUpdatedNotificationRequest) {
			s.front.ResourceUpdated(ctx, r.Params)
		},
		LoggingMessageHandler: func(_ context.Context, r *mcp.LoggingMessageRequest) {
			if ctx, to := s.about(u); to != nil {
				to.Log(ctx, r.Params)
			}
		},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { s.progressed(r.Params) },
	}
	if s.capabilities.Elicitation != nil { // asks answers
		o.ElicitationHandler = func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) { return nil, errNobody }
	}
	if s.capabilities.Sampling != nil {
		o.CreateMessageWithToolsHandler = func(_ context.Context, r *mcp.CreateMessageWithToolsRequest) (*mcp.CreateMessageWithToolsResult, error) {
			ctx, to := s.about(u)
			if to == nil {
				return nil, errNobody
			}
			return to.CreateMessageWithTools(ctx, r.Params)
		}
	}
	return o
}

// again reads a list that changed, once the session stands.
func (u *upstream) again(ctx context.Context, read func(context.Context)) {
	go func() {
		<-u.ready
		read(context.WithoutCancel(ctx))
	}()
}

// asks passes on what a server asks the client, before the SDK makes something of it: it has
// roots of its own, and takes some forms for wrong that the client may take.
func (u *upstream) asks(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		about, to := u.session.about(u)
		switch p := req.GetParams().(type) {
		case *mcp.ListRootsParams:
			if to == nil {
				return nil, errNobody
			}
			return to.ListRoots(about, p)
		case *mcp.ElicitParams:
			if to == nil {
				return nil, errNobody
			}
			return to.Elicit(about, p)
		}
		return next(ctx, method, req)
	}
}

var errNobody = errors.New("the client cannot be asked now")

func (s *gateSession) progressed(p *mcp.ProgressNotificationParams) {
	s.mu.Lock()
	var c *liveCall
	for _, live := range s.calls {
		if live.own == p.ProgressToken && live.token != nil {
			c = live
		}
	}
	s.mu.Unlock()
	if c != nil {
		own := *p
		own.ProgressToken = c.token
		c.to.NotifyProgress(c.ctx, &own)
	}
}

// readAll reads what a server offers, and offers it to the client.
func (u *upstream) readAll(ctx context.Context) {
	u.readTools(ctx)
	u.readPrompts(ctx)
	u.readResources(ctx)
}

// offer adds something to what the client is offered. What the SDK refuses is left out.
func (u *upstream) offer(what string, add func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			u.session.gateway.log("%s: %s is left out: %v", u.Name, what, p)
			ok = false
		}
	}()
	add()
	return true
}

func (u *upstream) readTools(ctx context.Context) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if r := u.client.InitializeResult(); r == nil || r.Capabilities.Tools == nil {
		return
	}
	old := u.tools
	var now []string
	for t, err := range u.client.Tools(ctx, nil) {
		if err != nil {
			u.session.gateway.log("%s: its tools cannot be listed: %v", u.Name, err)
			return
		}
		name, own := t.Name, *t
		own.Name = u.Prefix + name
		if u.session.taken(u, own.Name) {
			u.session.gateway.log("%s: the tool %s is left out: another server has one of that name", u.Name, own.Name)
			continue
		}
		if u.offer("the tool "+own.Name, func() {
			u.session.front.AddTool(&own, func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return u.call(ctx, name, r)
			})
		}) {
			now = append(now, own.Name)
		}
	}
	u.set(&u.tools, now)
	u.session.front.RemoveTools(gone(old, now)...)
}

// taken reports whether another server has a tool of that name.
func (s *gateSession) taken(by *upstream, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.upstreams, func(u *upstream) bool { return u != by && slices.Contains(u.tools, name) })
}

// has and set look at one of the lists of a server.
func (u *upstream) has(list *[]string, s string) bool {
	u.session.mu.Lock()
	defer u.session.mu.Unlock()
	return slices.Contains(*list, s)
}

func (u *upstream) set(list *[]string, now []string) {
	u.session.mu.Lock()
	defer u.session.mu.Unlock()
	*list = now
}

func gone(old, now []string) []string {
	return slices.DeleteFunc(slices.Clone(old), func(s string) bool { return slices.Contains(now, s) })
}

// call passes a call on. The arguments are the bytes that came in.
func (u *upstream) call(ctx context.Context, name string, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	c, done := u.session.begin(ctx, r.Session, u, r.Params.GetProgressToken())
	defer done()
	p := &mcp.CallToolParams{Meta: outward(r.Params.Meta), Name: name, InputResponses: r.Params.InputResponses, RequestState: r.Params.RequestState}
	if r.Params.Arguments != nil {
		p.Arguments = r.Params.Arguments
	}
	if c.token != nil {
		p.SetProgressToken(c.own)
	}
	res, err := u.client.CallTool(c.ctx, p)
	return res, plainly(err)
}

// plainly is a server's error as the server said it.
func plainly(err error) error {
	if wire := (*jsonrpc.Error)(nil); errors.As(err, &wire) {
		return wire
	}
	return err
}

func (u *upstream) readPrompts(ctx context.Context) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if r := u.client.InitializeResult(); r == nil || r.Capabilities.Prompts == nil {
		return
	}
	old := u.prompts
	var now []string
	for p, err := range u.client.Prompts(ctx, nil) {
		if err != nil {
			u.session.gateway.log("%s: its prompts cannot be listed: %v", u.Name, err)
			return
		}
		name, own := p.Name, *p
		own.Name = u.Prefix + name
		if u.offer("the prompt "+own.Name, func() {
			u.session.front.AddPrompt(&own, func(ctx context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
				c, done := u.session.begin(ctx, r.Session, u, r.Params.GetProgressToken())
				defer done()
				p := &mcp.GetPromptParams{Meta: outward(r.Params.Meta), Name: name, Arguments: r.Params.Arguments, InputResponses: r.Params.InputResponses, RequestState: r.Params.RequestState}
				if c.token != nil {
					p.SetProgressToken(c.own)
				}
				res, err := u.client.GetPrompt(c.ctx, p)
				return res, plainly(err)
			})
		}) {
			now = append(now, own.Name)
		}
	}
	u.set(&u.prompts, now)
	u.session.front.RemovePrompts(gone(old, now)...)
}

func (u *upstream) readResources(ctx context.Context) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if r := u.client.InitializeResult(); r == nil || r.Capabilities.Resources == nil {
		return
	}
	old := u.uris
	var now []string
	read := func(ctx context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		c, done := u.session.begin(ctx, r.Session, u, r.Params.GetProgressToken())
		defer done()
		p := &mcp.ReadResourceParams{Meta: outward(r.Params.Meta), URI: r.Params.URI, InputResponses: r.Params.InputResponses, RequestState: r.Params.RequestState}
		if c.token != nil {
			p.SetProgressToken(c.own)
		}
		res, err := u.client.ReadResource(c.ctx, p)
		return res, plainly(err)
	}
	for r, err := range u.client.Resources(ctx, nil) {
		if err != nil {
			u.session.gateway.log("%s: its resources cannot be listed: %v", u.Name, err)
			return
		}
		if u.offer("the resource "+r.URI, func() { u.session.front.AddResource(r, read) }) {
			now = append(now, r.URI)
		}
	}
	for r, err := range u.client.ResourceTemplates(ctx, nil) {
		if err != nil {
			u.session.gateway.log("%s: its resource templates cannot be listed: %v", u.Name, err)
			break
		}
		if u.offer("the resource template "+r.URITemplate, func() { u.session.front.AddResourceTemplate(r, read) }) {
			now = append(now, r.URITemplate)
		}
	}
	u.set(&u.uris, now)
	u.session.front.RemoveResources(gone(old, now)...)
	u.session.front.RemoveResourceTemplates(gone(old, now)...)
}
