package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/announce"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

const (
	defaultListen = "127.0.0.1:7714"
	auditFor      = 2 * time.Second
	pollPolicy    = time.Second
	shutdownWait  = 10 * time.Second

	// GCPercent is what serve sets GOGC to where the environment does not. Little lives
	// and much is thrown away: at 100 the heap is collected seventy times a second under
	// load, and a tenth of the decisions is lost to it.
	GCPercent = 400
)

// serveConfig is what serve is told.
type serveConfig struct {
	home         home
	policy       string // path
	shadowPolicy string // path, or ""
	listen       string
	hosts        []string
	agentRate    float64
	announce     announceConfig
	log          *slog.Logger
}

func (a *app) serveCmd() *cobra.Command {
	var c serveConfig
	cmd := &cobra.Command{
		Use:   "serve --policy FILE",
		Short: "Answer calls over HTTP",
		Long: `Answer calls over HTTP under a policy file. The first start makes a key, a log, a
trust file and an operator's token in the home.

The policy is read again on SIGHUP and when its file changes. A bad file keeps the
old policy active and says so.

With --shadow-policy NEXT a second policy is evaluated beside it. It decides nothing: where
its verdict or rule is another, the receipt says so, and "boundary status" and /metrics count it.

On a loopback listener agents need no token until one is made for an agent
("tokens add"); the receipt then says "principal: none". On any other address
serve refuses to start without agents' tokens.

--approval-webhook and --approval-command tell of every call that waits for an answer, and
never of its arguments unless --approval-arguments is set.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.policy == "" {
				return usagef("serve needs --policy FILE")
			}
			c.home.dir = a.home
			c.log = slog.New(slog.NewTextHandler(a.err, nil))
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(GCPercent)
			}
			s, err := start(cmd.Context(), c)
			if err != nil {
				return err
			}
			return s.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.policy, "policy", "", "the policy file")
	f.StringVar(&c.shadowPolicy, "shadow-policy", "", "a second policy file, evaluated beside the first, and never enforced")
	f.StringVar(&c.listen, "listen", defaultListen, "address to listen on: HOST:PORT, or unix:PATH for a socket of that path")
	c.home.flags(cmd)
	f.StringSliceVar(&c.hosts, "host", nil, "a name under which clients may reach this server, beside its address")
	c.announce.flags(cmd)
	f.Float64Var(&c.agentRate, "agent-rate", 0, "decisions a second that one agent may ask for; 0: no limit")
	return cmd
}

// A server is a running serve.
type server struct {
	serveConfig
	address string // http://HOST:PORT

	log       *ledger.Log
	store     *sqlite.Store
	kernel    *kernel.Kernel
	api       *httpapi.Server
	announcer *announce.Announcer // or nil
	http      *http.Server
	ln        net.Listener
	began     time.Time

	mu          sync.Mutex // guards the rest
	policyStamp string
	policyErr   error
	policySHA   string // of the file as it was last taken
	shadowStamp string
	shadowErr   error
}

// start opens everything and begins to listen.
func start(ctx context.Context, c serveConfig) (*server, error) {
	s := &server{serveConfig: c, began: time.Now().UTC()}
	if err := s.start(ctx); err != nil {
		s.shut()
		return nil, err
	}
	return s, nil
}

func (s *server) start(ctx context.Context) error {
	c := s.serveConfig
	pol, err := s.readPolicy()
	if err != nil {
		return err
	}
	next, err := s.readShadow()
	if err != nil {
		return err
	}
	// The port first: that it is taken is found out before anything is made.
	if s.ln, err = listen(c.listen); err != nil {
		return err
	}
	s.address = addressOf(s.ln.Addr())
	tokens, err := access.Open(c.home.tokens())
	if err != nil {
		return err
	}
	local := loopbackAddr(s.ln.Addr())
	if has, err := tokens.HasAgents(); err != nil {
		return err
	} else if !local && !has {
		return fmt.Errorf("%s is not a loopback address, and no agent has a token: anybody could ask for decisions. "+
			"Make one with `helm-ai-kernel tokens add --role agent --name N --agent A`, or listen on %s", c.listen, defaultListen)
	}
	var created bool
	if s.log, s.store, created, err = c.home.openOrCreate(ctx, auditFor); err != nil {
		return err
	}
	if created {
		c.log.Info("made a key and a log", "home", c.home.dir, "origin", s.log.Origin())
	}
	s.kernel = kernel.New(s.log, time.Now)
	other, shared := c.home.other(ctx, s.log.Origin())
	s.takeShadow(next)
	if err := s.activate(ctx, pol, shared); err != nil {
		return err
	}
	if err := private("operator's token", c.home.operatorToken()); err != nil {
		return err
	}
	operator, err := readToken(c.home.operatorToken())
	if err != nil {
		return err
	}
	if s.announcer, err = s.newAnnouncer(); err != nil {
		return err
	}
	metrics, observe := newMetrics(s)
	s.api = httpapi.New(httpapi.Config{Kernel: s.kernel, Tokens: tokens, OperatorToken: access.Hash(operator), Anonymous: local, Hosts: c.hosts,
		AgentRate: c.agentRate, Version: versionString(), Status: func() (httpapi.Process, error) { return s.process(tokens, local) },
		Reload: func() (string, error) { return s.reload(ctx) }, Metrics: metrics, Observe: observe})
	s.http = &http.Server{Handler: s.api.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		WriteTimeout: time.Minute, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelWarn)}
	if _, err := s.kernel.Boundary(ctx, starter, httpapi.Name, receipt.BoundaryStart, s.covers()); err != nil {
		return err
	}
	if shared {
		c.log.Warn("another server of this home stays the one that commands ask: name this one with --server", "other", other.Address, "pid", other.PID, "this", s.address)
		return nil
	}
	return s.home.writeServer(serverFile{s.address, os.Getpid()})
}

// activate makes the policy file's the active one, and says what it takes the place of:
// the store has one policy, whichever process brought it.
func (s *server) activate(ctx context.Context, p *policy.Policy, shared bool) error {
	before, err := s.kernel.Status(ctx)
	if err != nil {
		return err
	}
	if _, err := s.kernel.Activate(ctx, p, starter); err != nil {
		return fmt.Errorf("activate the policy: %w", err)
	}
	if b := before.Policy; b != nil && b.SHA256 != fmt.Sprintf("%x", p.SHA256()) {
		said := "this policy takes the place of another"
		if shared {
			said += ", under which a server that runs decided until now: it decides under this one too"
		}
		s.serveConfig.log.Warn(said, "policy", s.policy, "before", fmt.Sprintf("%s version %d", b.ID, b.Version), "sha256", b.SHA256)
	}
	return nil
}

// starter is the principal of what the process does when it is started: it
// was started by whoever holds the home.
const starter = access.HomeOperator

func (s *server) covers() string {
	return "calls that agents put to " + s.address + "; nothing that an agent does without asking"
}

func listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		return listenUnix(path)
	}
	ln, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken: another server runs there. Stop it, or choose another address with --listen", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return ln, nil
}

func loopbackAddr(a net.Addr) bool {
	if a.Network() == "unix" {
		return true
	}
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().IsLoopback()
}

// run serves until ctx ends or the log stops, and then finishes what is in flight.
func (s *server) run(ctx context.Context) error {
	defer s.shut()
	s.serveConfig.log.Info("listening", "address", s.address, "policy", s.policy, "entries", s.log.Size())
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.ln) }()
	work, stop := context.WithCancel(ctx)
	defer stop()
	go s.watch(work)
	announced := make(chan struct{})
	go func() {
		defer close(announced)
		if s.announcer != nil {
			s.announcer.Run(work)
		}
	}()
	defer func() { stop(); <-announced }() // it reads the log

	var err error
	select {
	case <-ctx.Done():
		s.serveConfig.log.Info("stopping: finishing what is in flight")
	case <-s.log.Failed():
		err = s.log.Err()
	case err = <-failed:
	}
	s.api.Close()
	grace, cancel := context.WithTimeout(context.Background(), shutdownWait)
	defer cancel()
	if serr := s.http.Shutdown(grace); serr != nil && err == nil {
		err = fmt.Errorf("some requests did not end within %s: %w", shutdownWait, serr)
	}
	if s.log.Err() == nil {
		_, berr := s.kernel.Boundary(grace, starter, httpapi.Name, receipt.BoundaryStop, s.covers())
		err = errors.Join(err, berr)
	}
	return err
}

// shut closes what was opened.
func (s *server) shut() {
	if s.ln != nil {
		s.ln.Close()
	}
	if s.log != nil {
		s.log.Close()
	}
	if s.store != nil {
		s.store.Close()
	}
	if f, err := s.home.readServer(); err == nil && f.PID == os.Getpid() && f.Address == s.address {
		os.Remove(s.home.serverFile())
	}
}

// watch reloads the policy and closes idle sessions.
func (s *server) watch(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	poll := time.NewTicker(pollPolicy)
	defer poll.Stop()
	idle := time.NewTicker(time.Minute)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			s.reload(ctx)
		case <-poll.C:
			if s.policyChanged() || s.shadowChanged() {
				s.reload(ctx)
			}
		case <-idle.C:
			if err := s.kernel.CloseIdle(ctx); err != nil {
				s.serveConfig.log.Error("closing idle sessions", "error", err)
			}
		}
	}
}

// stampOf changes when a file does.
func stampOf(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.ModTime().UnixNano(), " ", st.Size())
}

func (s *server) policyChanged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return stampOf(s.policy) != s.policyStamp
}

func (s *server) readPolicy() (*policy.Policy, error) {
	s.mu.Lock()
	s.policyStamp = stampOf(s.policy)
	s.mu.Unlock()
	src, err := os.ReadFile(s.policy)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	p, err := policy.Compile(s.policy, src)
	if err == nil {
		s.mu.Lock()
		s.policySHA = fmt.Sprintf("%x", p.SHA256())
		s.mu.Unlock()
	}
	return p, err
}

// reload reads the policy file again, and that of the shadow policy. A bad one keeps the
// old policy active.
func (s *server) reload(ctx context.Context) (string, error) {
	next, shadowErr := s.readShadow()
	if s.takeShadow(next); shadowErr != nil {
		s.serveConfig.log.Error("the shadow policy was not reloaded: the old one stays", "error", shadowErr)
	}
	p, err := s.readPolicy()
	var r kernel.Recorded
	if err == nil {
		r, err = s.kernel.Activate(ctx, p, starter)
	}
	s.mu.Lock()
	s.policyErr = err
	s.mu.Unlock()
	if err != nil {
		s.serveConfig.log.Error("the policy was not reloaded: the old one stays active", "file", s.policy, "error", err)
		return "", err
	}
	said := fmt.Sprintf("policy %s version %d is active since entry %d", p.ID(), p.Version(), r.Index)
	s.serveConfig.log.Info(said, "sha256", fmt.Sprintf("%x", p.SHA256()))
	if shadowErr != nil {
		said += fmt.Sprintf("; the shadow policy was not reloaded, and the old one stays: %v", shadowErr)
	}
	return said, nil
}

func (s *server) process(tokens *access.Tokens, local bool) (httpapi.Process, error) {
	has, err := tokens.HasAgents()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := httpapi.Process{Version: versionString(), PID: os.Getpid(), Started: receipt.FormatTime(s.began), Store: "sqlite:" + s.store.Path(), Home: s.home.dir,
		Listeners:  []httpapi.Listener{{Boundary: httpapi.Name, Address: s.address, Covers: s.covers(), Anonymous: local && !has}},
		PolicyFile: s.policy, PolicySHA256: s.policySHA}
	if s.policyErr != nil {
		p.PolicyError = s.policyErr.Error()
	}
	p.Announcing = s.announcing()
	if p.ShadowFile = s.shadowPolicy; s.shadowErr != nil {
		p.ShadowError = s.shadowErr.Error()
	}
	return p, err
}

// newMetrics are what GET /metrics shows, and what counts decisions into it.
func newMetrics(s *server) (http.Handler, func(*kernel.Decision)) {
	reg := prometheus.NewRegistry()
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "helm_decisions_total", Help: "Decisions answered by this process."}, []string{"verdict", "enforced"})
	repeats := prometheus.NewCounter(prometheus.CounterOpts{Name: "helm_decisions_repeated_total", Help: "Answers that had been given before."})
	size := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "helm_log_entries", Help: "Entries in the log."}, func() float64 { return float64(s.log.Size()) })
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "helm_log_up", Help: "1 while the log can record and allow."}, func() float64 {
		if s.log.Err() != nil || s.log.Degraded() != nil {
			return 0
		}
		return 1
	})
	reg.MustRegister(decisions, repeats, size, up)
	shadowed := newShadowMetric(reg)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), func(d *kernel.Decision) {
		if d.Repeated {
			repeats.Inc()
			return
		}
		shadowed(d.Shadowed)
		decisions.WithLabelValues(string(d.Verdict), strings.ToLower(fmt.Sprint(d.Enforced))).Inc()
	}
}
