// Package httpapi is the HTTP boundary: JSON in and out, strict, described by
// openapi.json, which a test holds against the running server. It turns requests
// into calls of package kernel and decides nothing but who may ask.
package httpapi

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/time/rate"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
)

// Name is the boundary's name in receipts.
const Name = "http"

// MaxBody bounds a request: the largest input, and room for the names around it.
const MaxBody = helm.MaxInputBytes + 16<<10

//go:embed openapi.json
var openAPI []byte

// Config is what a Server needs.
type Config struct {
	Kernel *kernel.Kernel
	Tokens *access.Tokens

	// OperatorToken is the hash of the token in HELM_HOME/operator.token.
	OperatorToken string

	// Anonymous lets callers without a token ask for decisions, as the principal
	// "none", as long as no agent has a token. Only for a loopback listener.
	Anonymous bool

	// Hosts are the names under which the server may be reached, beside loopback
	// addresses, "localhost" and the address that a request came in at. A request
	// for any other is refused: DNS rebinding.
	Hosts []string

	Boundary   string  // the name in receipts; default: Name
	AgentRate  float64 // decisions a second that one agent may ask for; 0: no limit
	Version    string
	Status     func() (Process, error)  // what the process knows of itself
	Reload     func() (string, error)   // reads the policy file again
	Metrics    http.Handler             // answers GET /metrics
	Observe    func(d *kernel.Decision) // called after each decision, for metrics
	Heartbeat  time.Duration            // between lines of an idle stream
	MaxStreams int                      // streams of receipts at once
	MaxWaiters int                      // callers that wait for answers to escalations at once
	MaxLook    int                      // entries that are looked at on one snapshot of the log
}

// A Server answers the HTTP API.
type Server struct {
	Config
	streams chan struct{}
	waiters chan struct{}
	closing chan struct{}
	once    sync.Once

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by principal and agent; guarded by mu
}

// New makes a server.
func New(c Config) *Server {
	if c.Heartbeat == 0 {
		c.Heartbeat = 15 * time.Second
	}
	if c.Boundary == "" {
		c.Boundary = Name
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = 64
	}
	if c.MaxLook == 0 {
		c.MaxLook = 10_000
	}
	if c.MaxWaiters == 0 {
		c.MaxWaiters = 512
	}
	return &Server{Config: c, streams: make(chan struct{}, c.MaxStreams), waiters: make(chan struct{}, c.MaxWaiters), closing: make(chan struct{}), limiters: map[string]*rate.Limiter{}}
}

// Close ends the streams, so that the HTTP server can shut down.
func (s *Server) Close() { s.once.Do(func() { close(s.closing) }) }

// who may ask
type grant uint8

const (
	anyone    grant = iota
	asAgent         // an agent's token, or nobody's where that is allowed
	asAuditor       // an auditor's or an operator's token
	asOperator
	asAgentOrOperator // who stands at a boundary
)

// A route is one operation of the API.
type route struct {
	pattern string
	grant   grant
	handle  func(*Server, http.ResponseWriter, *http.Request, caller) error
}

var routes = []route{
	{"POST /v1/decisions", asAgent, (*Server).decide},
	{"POST /v1/outcomes", asAgent, (*Server).outcome},
	{"POST /v1/sessions/close", asAgent, (*Server).closeSession},
	{"GET /v1/receipts", asAuditor, (*Server).listReceipts},
	{"GET /v1/receipts/{id}", asAuditor, (*Server).receipt},
	{"GET /v1/approvals", asAuditor, (*Server).listApprovals},
	{"GET /v1/approvals/{id}", asAuditor, (*Server).approval},
	{"POST /v1/approvals/{id}", asAuditor, (*Server).answer},
	{"POST /v1/approvals/{id}/client", asAgent, (*Server).clientAnswer},
	{"GET /v1/evidence", asAuditor, (*Server).evidence},
	{"GET /v1/boundary", asAuditor, (*Server).boundary},
	{"POST /v1/boundary/freeze", asOperator, (*Server).freeze},
	{"POST /v1/boundary/unfreeze", asOperator, (*Server).unfreeze},
	{"POST /v1/boundary/events", asAgentOrOperator, (*Server).event},
	{"POST /v1/tools", asAgentOrOperator, (*Server).listTools},
	{"GET /v1/tools/{server}", asAuditor, (*Server).tools},
	{"POST /v1/tools/{server}/accept", asOperator, (*Server).acceptTool},
	{"POST /v1/policy/reload", asOperator, (*Server).reload},
	{"GET /log/checkpoint", anyone, (*Server).checkpoint},
	{"GET /log/tile/{path...}", anyone, (*Server).tile},
	{"GET /healthz", anyone, (*Server).healthz},
	{"GET /readyz", anyone, (*Server).readyz},
	{"GET /metrics", anyone, (*Server).metrics},
	{"GET /openapi.json", anyone, (*Server).openapi},
}

// Handler answers all routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{} // by path
	for _, r := range routes {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) {
			c, err := s.admit(req, r.grant)
			if err == nil {
				err = r.handle(s, w, req, c)
			}
			if err != nil {
				s.problem(w, req, err)
			}
		})
		method, path, _ := strings.Cut(r.pattern, " ")
		methods[path] = append(methods[path], method)
	}
	for path, allowed := range methods {
		mux.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			s.problem(w, req, refuse(helm.MethodNotAllowed, "%s is answered to %s only", req.URL.Path, strings.Join(allowed, ", ")))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		s.problem(w, req, refuse(helm.NotFound, "there is no %.100q: see /openapi.json", req.URL.Path))
	})
	return mux
}

// A caller is who asks.
type caller struct {
	principal string
	agent     string // the only agent that the caller speaks for, or ""
	operator  bool
}

// admit says who asks, or refuses.
func (s *Server) admit(r *http.Request, g grant) (caller, error) {
	if err := s.checkOrigin(r); err != nil {
		return caller{}, err
	}
	if g == anyone {
		return caller{principal: helm.PrincipalNone}, nil
	}
	secret, given, err := bearer(r)
	if err != nil {
		return caller{}, err
	}
	if !given {
		if g != asAgent && g != asAgentOrOperator {
			return caller{}, refuse(helm.Unauthenticated, "an %s's token is needed: Authorization: Bearer TOKEN", g)
		}
		has, err := s.Tokens.HasAgents()
		if err != nil {
			return caller{}, refuse(helm.Unauthenticated, "%w", err)
		}
		if !s.Anonymous || has {
			return caller{}, refuse(helm.Unauthenticated, "an agent's token is needed: Authorization: Bearer TOKEN")
		}
		return caller{principal: helm.PrincipalNone}, nil
	}
	tok, err := s.token(secret)
	if err != nil {
		return caller{}, err
	}
	ok := tok.Role == access.Agent
	switch g {
	case asAuditor:
		ok = tok.Role == access.Auditor || tok.Role == access.Operator
	case asOperator:
		ok = tok.Role == access.Operator
	case asAgentOrOperator:
		ok = ok || tok.Role == access.Operator
	}
	if !ok {
		return caller{}, refuse(helm.Forbidden, "%s may not do this: an %s's token is needed", tok.Principal(), g)
	}
	return caller{principal: tok.Principal(), agent: tok.Agent, operator: tok.Role == access.Operator}, nil
}

func (g grant) String() string {
	return [...]string{"anybody", "agent", "auditor", "operator", "agent"}[g]
}

func bearer(r *http.Request) (secret string, given bool, err error) {
	h := r.Header.Values("Authorization")
	if len(h) == 0 {
		return "", false, nil
	}
	scheme, secret, ok := strings.Cut(h[0], " ")
	if len(h) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return "", false, refuse(helm.Unauthenticated, "the Authorization header is not one Bearer token")
	}
	return secret, true, nil
}

func (s *Server) token(secret string) (*access.Token, error) {
	tok, err := s.Tokens.Find(secret)
	if err != nil {
		return nil, refuse(helm.Unauthenticated, "the tokens cannot be read: %w", err)
	}
	if own := (access.Token{Name: "operator", Role: access.Operator}); tok == nil && s.OperatorToken != "" && equal(access.Hash(secret), s.OperatorToken) {
		tok = &own
	}
	if tok == nil {
		return nil, refuse(helm.Unauthenticated, "the token is unknown")
	}
	return tok, nil
}

// checkOrigin refuses what a web page of another origin could make a browser send.
func (s *Server) checkOrigin(r *http.Request) error {
	if !s.hostAllowed(r) {
		return refuse(helm.Forbidden, "the host %.100q is not this server's: start it with --host to serve under that name", r.Host)
	}
	if o := r.Header.Get("Origin"); o != "" && o != "http://"+r.Host && o != "https://"+r.Host {
		return refuse(helm.Forbidden, "a request from the origin %.100q is refused", o)
	}
	return nil
}

func (s *Server) hostAllowed(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsLoopback() {
			return true
		}
		local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if ok {
			if at, err := netip.ParseAddrPort(local.String()); err == nil && at.Addr().Unmap() == ip.Unmap() {
				return true
			}
		}
	}
	for _, h := range s.Hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// limit refuses a decision of an agent that asks too often.
func (s *Server) limit(c caller, agent string) error {
	if s.AgentRate > 0 && !s.allowed(c.principal+" "+agent, s.AgentRate, int(s.AgentRate)+1) {
		return refuse(helm.RateLimited, "agent %s asks for more than %g decisions a second", agent, s.AgentRate)
	}
	return nil
}

// What one principal may say of boundaries: every pack has the whole control stream.
const (
	eventRate  = 2 // a second
	eventBurst = 100
)

// limitEvents refuses what makes entries of the control stream too often.
func (s *Server) limitEvents(c caller) error {
	if !s.allowed(c.principal, eventRate, eventBurst) {
		return refuse(helm.RateLimited, "%s says more of boundaries than %d times a second", c.principal, eventRate)
	}
	return nil
}

func (s *Server) allowed(key string, perSecond float64, burst int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.limiters[key]
	if l == nil {
		if len(s.limiters) >= 10_000 { // forgotten limits are full again: no agent gains more than one burst
			clear(s.limiters)
		}
		l = rate.NewLimiter(rate.Limit(perSecond), burst)
		s.limiters[key] = l
	}
	return l.Allow()
}

// readJSON reads a request's body strictly into v.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return refuse(helm.BadRequest, "the Content-Type is %.100q: it must be application/json", r.Header.Get("Content-Type"))
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return refuse(helm.TooLarge, "the request has more than %d bytes", MaxBody)
	}
	if err != nil {
		return refuse(helm.BadRequest, "the request could not be read: %w", err)
	}
	if err := json.Unmarshal(b, v, json.RejectUnknownMembers(true)); err != nil {
		return refuse(helm.BadRequest, "%w", Misread(err))
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v, json.FormatNilSliceAsNull(false))
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // an error is the client's, who is gone
	return nil
}
