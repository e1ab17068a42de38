// Package announce tells people, by a webhook or a command, that a call waits for their
// answer. It stands beside the decisions: it reads the log, and can neither slow a decision
// nor fail one. Announcements may come more than once, after a restart or a lost answer: the
// approval's id says which are the same.
package announce

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Limits of announcing.
const (
	parallel   = 8                // announcements at once, of each way
	attemptFor = 10 * time.Second // of a webhook
	commandFor = 30 * time.Second
	firstRetry = time.Second
	lastRetry  = 2 * time.Minute
)

// A Config says how approvals are announced.
type Config struct {
	Kernel    *kernel.Kernel
	URL       string   // of a webhook, or ""
	Secret    []byte   // that signs its messages
	Arguments bool     // the messages hold the call's arguments and context
	Command   []string // a program and its arguments, or nil
	Log       *slog.Logger
}

// Counts say what became of announcements since the start.
type Counts struct {
	Delivered uint64 `json:"delivered"`
	Failed    uint64 `json:"failed"`              // attempts
	Expired   uint64 `json:"expired"`             // that nobody was told of before it was too late
	Waiting   int    `json:"waiting"`             // approvals that are not announced yet
	LastError string `json:"last_error,omitzero"` // of the last attempt that failed
}

// An Announcer announces approvals.
type Announcer struct {
	Config
	client *http.Client
	hooks  chan struct{} // slots of the webhook
	runs   chan struct{} // and of the command: a receiver that hangs does not keep the other way waiting

	mu     sync.Mutex
	counts Counts
}

// New makes an announcer. Nothing happens before Run.
func New(c Config) *Announcer {
	return &Announcer{Config: c, hooks: make(chan struct{}, parallel), runs: make(chan struct{}, parallel), client: &http.Client{Timeout: attemptFor,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // where to is configured, not answered
}

// Counts are what became of announcements so far.
func (a *Announcer) Counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// Run announces every approval that is pending, or becomes so by this or another process,
// until ctx ends and all that it began has ended.
func (a *Announcer) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	known := map[string]context.CancelFunc{} // ends what is not needed any more
	defer func() {
		for _, stop := range known {
			stop()
		}
	}()
	for {
		size := a.Kernel.Log().Size()
		if ids, err := a.Kernel.Pending(ctx); err == nil {
			for id, stop := range known {
				if !slices.Contains(ids, id) {
					stop()
					delete(known, id)
				}
			}
			for _, id := range ids {
				if known[id] != nil {
					continue
				}
				one, stop := context.WithCancel(ctx)
				known[id] = stop
				wg.Go(func() { a.announce(one, id) })
			}
		} else if ctx.Err() == nil {
			a.Log.Warn("approvals cannot be looked at to announce them", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond): // a busy log grows all the time
		}
		wait, stop := context.WithTimeout(ctx, time.Second)
		a.Kernel.Log().Wait(wait, size)
		stop()
	}
}

// A message is what is told of an approval.
type message struct {
	Type string `json:"type"`
	Time string `json:"timestamp"`
	Data data   `json:"data"`
}

type data struct {
	ID        string         `json:"id"`
	Index     uint64         `json:"index"`
	Agent     string         `json:"agent"`
	Session   string         `json:"session"`
	Principal string         `json:"principal"`
	Tool      string         `json:"tool"`
	Rule      string         `json:"rule"`
	Reason    helm.Reason    `json:"reason"`
	Opened    string         `json:"opened"`
	Expires   string         `json:"expires"`
	Requires  []requirement  `json:"requires"`
	Answer    string         `json:"answer"` // the command that shows and answers it
	Input     jsontext.Value `json:"input,omitzero"`
}

type requirement struct {
	Rule  string   `json:"rule"`
	Count uint64   `json:"count"` // signatures, or 0: an operator's answer
	Of    []string `json:"of"`
}

// announce tells of one approval, by every way that is configured, until it is told or ctx
// ends, as it does when the approval needs no answer any more.
func (a *Announcer) announce(ctx context.Context, id string) {
	a.note(func(c *Counts) { c.Waiting++ })
	defer a.note(func(c *Counts) { c.Waiting-- })
	w, err := a.Kernel.Approval(ctx, id)
	for err != nil { // the store's moment of weakness; Run ends ctx when the approval needs no answer
		a.failed(id, err)
		select {
		case <-time.After(firstRetry):
		case <-ctx.Done():
			return
		}
		w, err = a.Kernel.Approval(ctx, id)
	}
	body, err := a.message(w)
	if err != nil {
		a.failed(id, err)
		return
	}
	ctx, stop := context.WithDeadline(ctx, w.Expires)
	defer stop()
	var wg sync.WaitGroup
	if a.URL != "" {
		wg.Go(func() { a.insist(ctx, id, a.hooks, func() error { return a.post(ctx, id, body) }) })
	}
	if len(a.Command) > 0 {
		wg.Go(func() { a.insist(ctx, id, a.runs, func() error { return a.run(ctx, body) }) })
	}
	wg.Wait()
}

// insist tries until it succeeds or ctx ends, ever more seldom.
func (a *Announcer) insist(ctx context.Context, id string, slots chan struct{}, try func() error) {
	defer func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			a.note(func(c *Counts) { c.Expired++ })
		}
	}()
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := try()
		<-slots
		if err == nil {
			a.note(func(c *Counts) { c.Delivered++ })
			return
		}
		if ctx.Err() != nil {
			return
		}
		a.failed(id, err)
		select {
		case <-time.After(pause/2 + rand.N(pause)): // not all at once
		case <-ctx.Done():
			return
		}
	}
}

func (a *Announcer) note(f func(*Counts)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.counts)
}

func (a *Announcer) failed(id string, err error) {
	a.note(func(c *Counts) { c.Failed, c.LastError = c.Failed+1, err.Error() })
	a.Log.Warn("an approval could not be announced", "approval", id, "error", err)
}

func (a *Announcer) message(w *kernel.Waiting) ([]byte, error) {
	d := data{ID: w.ID, Index: w.Escalation, Agent: w.Decision.Agent, Session: w.Decision.Session, Principal: w.Decision.Principal, Tool: w.Decision.Tool,
		Rule: w.Decision.Rule, Reason: w.Decision.Reason, Opened: receipt.FormatTime(w.Time), Expires: receipt.FormatTime(w.Expires),
		Answer: "helm-ai-kernel approvals approve " + w.ID}
	for _, r := range w.Requires {
		one := requirement{Rule: r.Rule, Count: r.Count, Of: []string{}}
		for _, k := range r.Keys {
			one.Of = append(one.Of, k.Name)
		}
		d.Requires = append(d.Requires, one)
	}
	if a.Arguments {
		d.Input = jsontext.Value(w.Input)
	}
	return json.Marshal(message{Type: "approval.opened", Time: receipt.FormatTime(w.Time), Data: d})
}

// post sends a message as Standard Webhooks has it.
func (a *Announcer) post(ctx context.Context, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "helm-ai-kernel")
	req.Header.Set("webhook-id", "approval-"+id)
	req.Header.Set("webhook-timestamp", at)
	req.Header.Set("webhook-signature", Sign(a.Secret, "approval-"+id, at, body))
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("webhook: %w", plain(err))
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("webhook: it answered %s", resp.Status)
	}
	return nil
}

// plain is an error without the URL, which may hold a secret.
func plain(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}

// Sign is the signature of a message as Standard Webhooks has it.
func Sign(secret []byte, id, at string, body []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(id + "." + at + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// ParseSecret reads a secret as Standard Webhooks has it: "whsec_" and base64 of 24 to 64
// bytes.
func ParseSecret(text string) ([]byte, error) {
	b64, ok := strings.CutPrefix(strings.TrimSpace(text), "whsec_")
	b, err := base64.StdEncoding.DecodeString(b64)
	if !ok || err != nil || len(b) < 24 || len(b) > 64 {
		return nil, errors.New(`it is no secret of a webhook: "whsec_" and base64 of 24 to 64 bytes, as in echo "whsec_$(openssl rand -base64 32)"`)
	}
	return b, nil
}

// run runs the command with a message on its standard input. It is given none of the
// kernel's environment but where to find programs.
func (a *Announcer) run(ctx context.Context, body []byte) error {
	ctx, stop := context.WithTimeout(ctx, commandFor)
	defer stop()
	cmd := exec.CommandContext(ctx, a.Command[0], a.Command[1:]...)
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	cmd.Env = environment()
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stderr = &limited{to: &out, left: 500}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("command %s: %w: %s", a.Command[0], err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// A limited writer forgets what is too much.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.to.Write(b[:n])
	l.left -= n
	return len(b), nil
}
