// Sampling, roots and logging are deprecated in revision 2026-07-28, and belong to the one before it.
//
//lint:file-ignore SA1019 the gateway passes them on

package mcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	maxBody     = 8 << 20
	maxSessions = 256 // of all clients
	idleFor     = 30 * time.Minute
	connectFor  = 2 * time.Minute // the first start by npx installs the server
)

// An Upstream is a server behind a gateway: one that is started, or one at a URL.
type Upstream struct {
	Name    string
	Prefix  string // before the names of its tools and prompts, as clients see them
	Command []string
	URL     string
	Header  http.Header // sent to URL
}

// A Gateway puts several servers behind one Streamable HTTP endpoint. Each session of a client
// has servers of its own, with a Relay before each. Towards the client it is a server and
// towards the relays a client, both by the SDK: unlike a Relay it passes on what the SDK knows
// of the protocol. Its fields are not changed after Handler.
type Gateway struct {
	Servers []Upstream
	Agents  map[string][sha256.Size]byte // the SHA-256 of each agent's token; none: everybody is Agent
	Agent   string
	Hosts   []string // beside loopback: what a Host and an Origin may be
	Wait    time.Duration
	Kernel  func(agent, server string) Kernel
	Log     func(string)
	Stderr  io.Writer // of servers that are started

	mu       sync.Mutex
	sessions map[*gateSession]bool
	shared   map[string]*gateSession // of clients without sessions, by agent and what they can do
	told     map[string]*told        // what the kernel was told last, by server and agent
	closed   bool
}

// Handler answers at any path.
func (g *Gateway) Handler() http.Handler {
	g.sessions, g.shared = map[*gateSession]bool{}, map[string]*gateSession{}
	get := func(r *http.Request) *mcp.Server {
		if s, ok := r.Context().Value(sessionKey{}).(*gateSession); ok {
			return s.front
		}
		return idle
	}
	opts := mcp.StreamableHTTPOptions{MaxRequestBodyBytes: maxBody, SessionTimeout: idleFor, DisableLocalhostProtection: true} // checked below
	stateful := mcp.NewStreamableHTTPHandler(get, &opts)
	opts.Stateless, opts.PropagateRequestCancellation = true, true
	without := mcp.NewStreamableHTTPHandler(get, &opts)
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, s, err := g.route(r, stateful, without)
		if err != nil {
			http.Error(w, "helm-ai-kernel: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		if s != nil {
			r = r.WithContext(context.WithValue(r.Context(), sessionKey{}, s))
		}
		h.ServeHTTP(w, r)
	}))
	if len(g.Agents) > 0 {
		h = auth.RequireBearerToken(g.verify, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true})(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.allowed(r.Host) || len(r.Header.Values("Origin")) > 0 && !g.allowedOrigin(r.Header.Get("Origin")) {
			http.Error(w, "helm-ai-kernel: this Host or Origin is not served", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// idle stands for the server of a session that exists: the SDK asks for one in every request,
// and looks only at the revisions that it knows.
var idle = mcp.NewServer(&mcp.Implementation{Name: "helm-ai-kernel"}, nil)

// newestWithSessions is the newest revision of the protocol that has sessions.
const newestWithSessions = "2025-11-25"

type sessionKey struct{}

// verify compares a token with every agent's, each in constant time.
func (g *Gateway) verify(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
	sum := sha256.Sum256([]byte(token))
	agent := ""
	for name, want := range g.Agents {
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
			agent = name
		}
	}
	if agent == "" {
		return nil, auth.ErrInvalidToken
	}
	return &auth.TokenInfo{UserID: agent}, nil
}

func (g *Gateway) agent(r *http.Request) string {
	if t := auth.TokenInfoFromContext(r.Context()); t != nil {
		return t.UserID
	}
	return g.Agent
}

// allowed reports whether a Host is loopback's or one of Hosts: a page of another name that
// resolves to here has its own.
func (g *Gateway) allowed(host string) bool {
	if slices.Contains(g.Hosts, host) {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return name == "localhost" || err == nil && ip.IsLoopback()
}

func (g *Gateway) allowedOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && g.allowed(u.Host)
}

// route finds who serves a request, and opens a session where it begins one.
func (g *Gateway) route(r *http.Request, stateful, without http.Handler) (http.Handler, *gateSession, error) {
	if r.Method == http.MethodDelete {
		g.ending(g.agent(r), r.Header.Get("Mcp-Session-Id"))
	}
	if r.Method != http.MethodPost || r.Header.Get("Mcp-Session-Id") != "" {
		return stateful, nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m, err := readMessage(body, true)
	if err != nil {
		return stateful, nil, nil // which refuses it
	}
	if r.Header.Get("Mcp-Protocol-Version") >= stateless {
		c := whoAsks(m)
		s, err := g.without(g.agent(r), c)
		return without, s, err
	}
	if m.method != "initialize" {
		return stateful, nil, nil
	}
	var p struct {
		ClientInfo   *mcp.Implementation `json:"clientInfo"`
		Capabilities *capabilities       `json:"capabilities"`
		Version      string              `json:"protocolVersion"`
	}
	if m.params == nil || json.Unmarshal(m.params, &p) != nil {
		return stateful, nil, nil
	}
	s, err := g.open(g.agent(r), p.ClientInfo, p.Capabilities.all(), p.Version)
	return stateful, s, err
}

// ending cancels the calls of a session that its client ends: the SDK would wait for them.
func (g *Gateway) ending(agent, id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.sessions {
		s.mu.Lock()
		its := s.agent == agent && s.client != nil && s.client.ID() == id
		s.mu.Unlock()
		if its {
			s.stop()
		}
	}
}

// A caller is what a request without a session says of who asks.
type caller struct {
	info         *mcp.Implementation
	capabilities *mcp.ClientCapabilities
}

func whoAsks(m *message) (c caller) {
	var p struct {
		Meta map[string]json.RawMessage `json:"_meta"`
	}
	var can *capabilities
	if m.params != nil && json.Unmarshal(m.params, &p) == nil {
		json.Unmarshal(p.Meta[mcp.MetaKeyClientInfo], &c.info)
		json.Unmarshal(p.Meta[mcp.MetaKeyClientCapabilities], &can)
	}
	c.capabilities = can.all()
	return c
}

// capabilities are those of a client with its roots, which the SDK's type reads into a member that
// it does not write.
type capabilities struct {
	mcp.ClientCapabilities
	Roots *mcp.RootCapabilities `json:"roots"`
}

func (c *capabilities) all() *mcp.ClientCapabilities {
	if c == nil {
		return &mcp.ClientCapabilities{}
	}
	c.RootsV2 = c.Roots
	return &c.ClientCapabilities
}

// without is the session that all clients of an agent share that say the same of themselves,
// and have none of their own.
func (g *Gateway) without(agent string, c caller) (*gateSession, error) {
	b, err := json.Marshal([]any{agent, c.info, c.capabilities, c.capabilities.RootsV2})
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	s := g.shared[string(b)]
	g.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if s, err = g.open(agent, c.info, c.capabilities, ""); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if first := g.shared[string(b)]; first != nil { // it was opened meanwhile
		go s.close()
		return first, nil
	}
	g.shared[string(b)] = s
	s.key = string(b)
	return s, nil
}

// Close ends every session.
func (g *Gateway) Close() {
	g.mu.Lock()
	g.closed = true
	var all []*gateSession
	for s := range g.sessions {
		all = append(all, s)
	}
	g.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(s.close)
	}
	wg.Wait()
}

// A gateSession is one client's view of all servers.
type gateSession struct {
	gateway      *Gateway
	agent        string
	key          string // in shared
	version      string // of the protocol, or "": the newest
	capabilities *mcp.ClientCapabilities
	front        *mcp.Server
	upstreams    []*upstream
	once         sync.Once
	ctx          context.Context // of its calls, until it is to end
	stop         context.CancelFunc

	mu     sync.Mutex
	client *mcp.ServerSession // of a client with a session
	calls  []*liveCall        // the newest last
	seq    int
}

// A liveCall is a request of the client that a server works on: what the server says meanwhile
// belongs to it.
type liveCall struct {
	ctx   context.Context
	to    *mcp.ServerSession
	of    *upstream
	own   string // the progress token towards the server
	token any    // the client's
}

// An upstream is a server in a session.
type upstream struct {
	Upstream
	session *gateSession
	seen    *mcp.Client // whom the server sees
	client  *mcp.ClientSession
	ready   chan struct{} // closed when client is set
	reading sync.Mutex    // held while its lists are read

	tools, prompts, uris []string // as the client sees them; guarded by session.mu
}

func (g *Gateway) log(format string, args ...any) {
	if g.Log != nil {
		g.Log(fmt.Sprintf(format, args...))
	}
}

// open opens a session, with servers that speak the client's revision of the protocol: what it
// asks a user, and how, differs between them. No revision is that of a shared session.
func (g *Gateway) open(agent string, info *mcp.Implementation, capabilities *mcp.ClientCapabilities, version string) (*gateSession, error) {
	if info == nil {
		info = &mcp.Implementation{Name: "unknown"}
	}
	if version != "" && (version >= stateless || !slices.Contains(mcp.SupportedProtocolVersions(), version)) {
		version = newestWithSessions
	}
	s := &gateSession{gateway: g, agent: agent, capabilities: capabilities, version: version}
	s.ctx, s.stop = context.WithCancel(context.Background())
	g.mu.Lock()
	full, closed := len(g.sessions) >= maxSessions, g.closed
	if !full && !closed {
		g.sessions[s] = true
	}
	g.mu.Unlock()
	if closed || full {
		return nil, fmt.Errorf("no more than %d sessions can be open", maxSessions)
	}
	s.front = mcp.NewServer(&mcp.Implementation{Name: "helm-ai-kernel", Title: "helm-ai-kernel gateway", Version: "1"}, s.options())
	s.front.AddReceivingMiddleware(s.begun)
	ctx, stop := context.WithTimeout(context.Background(), connectFor)
	defer stop()
	for _, of := range g.Servers {
		u, err := s.connect(ctx, of, info)
		if err != nil {
			g.log("%s cannot be reached, and is left out of a session: %v", of.Name, err)
			continue
		}
		s.mu.Lock()
		s.upstreams = append(s.upstreams, u)
		s.mu.Unlock()
	}
	if len(s.upstreams) == 0 {
		s.close()
		return nil, errors.New("none of the MCP servers can be reached")
	}
	for _, u := range s.upstreams {
		u.readAll(ctx)
	}
	if version == "" {
		time.AfterFunc(idleFor, s.closeWhenIdle)
	}
	return s, nil
}

// closeWhenIdle ends a shared session half an hour after it began, once nothing is under way;
// the next request opens another.
func (s *gateSession) closeWhenIdle() {
	s.mu.Lock()
	busy := len(s.calls) > 0
	s.mu.Unlock()
	if busy {
		time.AfterFunc(time.Minute, s.closeWhenIdle)
		return
	}
	s.close()
}

// connect starts or reaches a server, with a Relay before it.
func (s *gateSession) connect(ctx context.Context, of Upstream, info *mcp.Implementation) (*upstream, error) {
	u := &upstream{Upstream: of, session: s, ready: make(chan struct{})}
	var server Wire
	if of.URL != "" {
		server = newHTTPWire(of.URL, of.Header)
	} else {
		p, err := Start(of.Command, s.gateway.Stderr)
		if err != nil {
			return nil, err
		}
		server = p
	}
	g := s.gateway
	g.mu.Lock()
	if g.told == nil {
		g.told = map[string]*told{}
	}
	known := g.told[of.Name+" "+s.agent]
	if known == nil {
		known = new(told)
		g.told[of.Name+" "+s.agent] = known
	}
	g.mu.Unlock()
	toRelay, fromClient := io.Pipe()
	toClient, fromRelay := io.Pipe()
	relay := &Relay{Name: of.Name, Agent: s.agent, Session: NewSession(), Wait: g.Wait, Kernel: g.Kernel(s.agent, of.Name), told: known,
		Log: func(line string) { g.log("%s: %s", of.Name, line) }}
	go func() {
		err := relay.Run(context.Background(), NewLines(toRelay, fromRelay), server)
		server.Close()
		fromRelay.Close()
		toRelay.CloseWithError(io.ErrClosedPipe)
		if err != nil {
			g.log("%s: %v; the session of its client ends", of.Name, err)
			s.close()
		}
	}()
	u.seen = mcp.NewClient(info, u.options())
	u.seen.AddReceivingMiddleware(u.asks)
	c, err := u.seen.Connect(ctx, &mcp.IOTransport{Reader: toClient, Writer: fromClient, MaxLineLength: MaxMessage + 1024}, &mcp.ClientSessionOptions{ProtocolVersion: s.version})
	if err != nil {
		fromClient.Close()
		server.Close()
		return nil, err
	}
	u.client = c
	close(u.ready)
	if c.InitializeResult().Capabilities.Logging != nil { // of all of it the client gets what it asks for
		c.SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: "debug"})
	}
	return u, nil
}

func (s *gateSession) close() {
	s.stop() // who closes waits for calls
	s.once.Do(func() {
		s.gateway.mu.Lock()
		delete(s.gateway.sessions, s)
		if s.gateway.shared[s.key] == s {
			delete(s.gateway.shared, s.key)
		}
		s.gateway.mu.Unlock()
		for _, u := range s.upstreams {
			u.client.Close()
		}
		for c := range s.front.Sessions() {
			c.Close()
		}
	})
}

// begun takes note of the client's session with its first request, and ends with it.
func (s *gateSession) begun(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		if c, ok := req.GetSession().(*mcp.ServerSession); ok && method == "initialize" {
			s.mu.Lock()
			first := s.client == nil
			s.client = c
			s.mu.Unlock()
			if first {
				go func() {
					c.Wait()
					s.close()
				}()
			}
		}
		return next(ctx, method, req)
	}
}
