package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// A fakeKernel answers as its decide says, by default ALLOW, and remembers the rest.
type fakeKernel struct {
	decide func(helm.Call, time.Duration) (*Decision, error)
	report func(Outcome) error
	list   func([]Tool) error

	mu       sync.Mutex
	calls    []helm.Call
	outcomes []Outcome
	lists    [][]Tool
	answers  []string
	changed  chan struct{} // when something was answered
}

func (k *fakeKernel) Decide(ctx context.Context, c helm.Call, wait time.Duration) (*Decision, error) {
	k.mu.Lock()
	k.calls = append(k.calls, c)
	k.mu.Unlock()
	if k.decide == nil {
		return allow, nil
	}
	return k.decide(c, wait)
}

func (k *fakeKernel) Report(_ context.Context, o Outcome) error {
	if k.report != nil {
		if err := k.report(o); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.outcomes = append(k.outcomes, o)
	return nil
}

func (k *fakeKernel) List(_ context.Context, _ string, tools []Tool) error {
	k.mu.Lock()
	k.lists = append(k.lists, tools)
	k.mu.Unlock()
	if k.list != nil {
		return k.list(tools)
	}
	return nil
}

func (k *fakeKernel) Answer(_ context.Context, id string, approve bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answers = append(k.answers, fmt.Sprint(id, approve))
	close(k.changed)
	return nil
}

// reported are the outcomes as texts.
func (k *fakeKernel) reported() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, o := range k.outcomes {
		out = append(out, fmt.Sprintf("%s %s %s", o.CallID, o.Status, o.Result))
	}
	slices.Sort(out)
	return out
}

var (
	allow    = &Decision{ID: "a1", Verdict: helm.Allow, Rule: "may", Enforced: true}
	deny     = &Decision{ID: "d1", Verdict: helm.Deny, Rule: "no", Reason: helm.Reason{Code: "TOO_MUCH", Message: "At most 5"}, Enforced: true}
	escalate = &Decision{ID: "e1", Verdict: helm.Escalate, Rule: "ask", Reason: helm.Reason{Code: "ASK", Message: "ask somebody"}, Enforced: true,
		Approval: &Approval{ID: "e1", Expires: "2030-01-01T00:00:00Z", Approve: "helm approve e1", ByClient: true}}
)

// A pipe is one direction of a wire.
type pipe struct {
	messages chan string
	once     sync.Once
	ended    chan struct{}
}

func newPipe() *pipe { return &pipe{messages: make(chan string, 1000), ended: make(chan struct{})} }

func (p *pipe) end() { p.once.Do(func() { close(p.ended) }) }

func (p *pipe) read() ([]byte, error) {
	select {
	case m := <-p.messages:
		return []byte(m), nil
	default:
	}
	select {
	case m := <-p.messages:
		return []byte(m), nil
	case <-p.ended:
		return nil, io.EOF
	}
}

type fakeWire struct{ in, out *pipe }

func (w fakeWire) Read() ([]byte, error) { return w.in.read() }
func (w fakeWire) Write(b []byte) error  { w.out.messages <- string(b); return nil }
func (w fakeWire) Close() error          { w.out.end(); return nil }
func (w fakeWire) turned() fakeWire      { return fakeWire{w.out, w.in} }
func (w fakeWire) say(m string)          { w.out.messages <- m }
func (w fakeWire) hears(t *testing.T) string {
	t.Helper()
	select {
	case m := <-w.in.messages:
		return m
	case <-time.After(10 * time.Minute):
		t.Fatal("nothing is said")
		return ""
	}
}

// nothing is heard for as long as it takes for all to wait.
func (w fakeWire) nothing(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case m := <-w.in.messages:
		t.Errorf("it is told %s", m)
	default:
	}
}

// A session is a relay that runs between a client and a server which the test plays.
type session struct {
	t              *testing.T
	kernel         *fakeKernel
	relay          *Relay
	client, server fakeWire
	logged         []string
	result         chan error
}

// start starts a relay, whose server has listed the tool t.
func start(t *testing.T, k *fakeKernel) *session {
	s := bare(t, k)
	s.client.say(`{"jsonrpc":"2.0","id":"l","method":"tools/list"}`)
	s.server.hears(t)
	s.server.say(`{"jsonrpc":"2.0","id":"l","result":{"tools":[{"name":"t","inputSchema":{}}]}}`)
	s.client.hears(t)
	return s
}

func bare(t *testing.T, k *fakeKernel) *session { return bareWith(t, k, nil) }

func bareWith(t *testing.T, k *fakeKernel, known *told) *session {
	k.changed = make(chan struct{})
	client, server := fakeWire{newPipe(), newPipe()}, fakeWire{newPipe(), newPipe()}
	s := &session{t: t, kernel: k, client: client, server: server, result: make(chan error, 1)}
	s.relay = &Relay{Name: "srv", Agent: "a", Session: "s", Wait: 52 * time.Second, Kernel: k, told: known, Log: func(l string) {
		k.mu.Lock()
		defer k.mu.Unlock()
		s.logged = append(s.logged, l)
	}}
	go func() { s.result <- s.relay.Run(context.Background(), client.turned(), server.turned()) }()
	return s
}

// end ends the session as a client does, and the server with it.
func (s *session) end() {
	s.t.Helper()
	s.client.Close()
	go func() {
		<-s.server.in.ended
		s.server.Close()
	}()
	if err := <-s.result; err != nil {
		s.t.Error(err)
	}
}

func (s *session) wants(w fakeWire, want string) {
	s.t.Helper()
	if got := w.hears(s.t); got != want {
		s.t.Fatalf("it is told %s\nand not       %s", got, want)
	}
}

func (s *session) wantOutcomes(want ...string) {
	s.t.Helper()
	synctest.Wait()
	if got := s.kernel.reported(); !slices.Equal(got, want) {
		s.t.Errorf("outcomes\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const call7 = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","arguments":{"n":1.0}}}`

// What is no tool's call passes byte for byte, whoever says it and whatever it is.
func TestPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &fakeKernel{})
		for _, m := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2099-01-01","capabilities":{"x":{}},"clientInfo":{"name":"c","version":"1"}}}`,
			`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			`{ "method" : "un/known" , "id":"é", "jsonrpc":"2.0","params":[1e400,9007199254740993] }`,
			`{"jsonrpc":"2.0","id":-5,"method":"resources/read","params":{"uri":"x://<&>"}}`,
			`{"jsonrpc":"2.0","id":99,"result":{"of":"the client"}}`,
			`{"jsonrpc":"2.0","id":98,"error":{"code":-1,"message":"m","data":[null]}}`,
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345}}`,
		} {
			s.client.say(m)
			s.wants(s.server, m)
		}
		for _, m := range []string{
			`{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2,"n":1e400},"more":true}`,
			`{"jsonrpc":"2.0","id":"é","error":{"code":1,"message":"no","data":{}}}`,
			`{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"x":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.5}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
			"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"\xff\"}",
		} {
			s.server.say(m)
			s.wants(s.client, m)
		}
		s.end()
		s.wantOutcomes()
	})
}

func TestCall(t *testing.T) {
	for _, c := range []struct {
		name    string
		kernel  *fakeKernel
		forward bool
		answer  string // the server's, if it is asked
		told    string // what is in the client's answer
		outcome []string
	}{
		{"allowed", &fakeKernel{}, true, `"result":{"content":[],"x":"<é>"}`, `"result":{"content":[],"x":"<é>"}`, []string{`1-7 ok {"content":[],"x":"<é>"}`}},
		{"allowed and failed", &fakeKernel{}, true, `"result":{"isError":true}`, `"isError":true`, []string{`1-7 error {"isError":true}`}},
		{"allowed and refused", &fakeKernel{}, true, `"error":{"code":-32602,"message":"no"}`, `-32602`, []string{`1-7 error {"error":{"code":-32602,"message":"no"}}`}},
		{"denied", &fakeKernel{decide: says(deny, nil)}, false, "", `DENY by no (TOO_MUCH): At most 5. The call was not made.`, nil},
		{"not decided", &fakeKernel{decide: says(nil, errors.New("no server answers"))}, false, "", `was not decided, and was not made: no server answers.`, nil},
		{"repeated", &fakeKernel{decide: says(&Decision{ID: "a1", Verdict: helm.Allow, Enforced: true, Repeated: true}, nil)}, false, "", `was not made again`, nil},
		{"no verdict", &fakeKernel{decide: says(&Decision{Verdict: "MAYBE"}, nil)}, false, "", `answered \"MAYBE\"`, nil},
		{"no verdict, enforced", &fakeKernel{decide: says(&Decision{Verdict: "", Enforced: true}, nil)}, false, "", `was not made`, nil},
		{"shadow", &fakeKernel{decide: says(&Decision{Verdict: helm.Deny}, nil)}, true, `"result":{}`, `"result":{}`, []string{`1-7 ok {}`}},
		{"panic", &fakeKernel{decide: func(helm.Call, time.Duration) (*Decision, error) { panic("oh") }}, false, "", `helm-ai-kernel failed: oh`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, c.kernel)
				s.client.say(call7)
				if c.forward {
					s.wants(s.server, call7)
					s.server.say(`{"jsonrpc":"2.0","id":7,` + c.answer + `}`)
				}
				got := s.client.hears(t)
				if !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":7,`) || !strings.Contains(got, c.told) {
					t.Errorf("the client is told %s", got)
				}
				if !c.forward && !strings.Contains(got, `"isError":true`) {
					t.Errorf("%s is no error", got)
				}
				s.server.nothing(t)
				s.client.nothing(t)
				s.end()
				s.wantOutcomes(c.outcome...)
			})
		})
	}
}

func says(d *Decision, err error) func(helm.Call, time.Duration) (*Decision, error) {
	return func(helm.Call, time.Duration) (*Decision, error) { return d, err }
}

// What the kernel is asked about a call.
func TestAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{decide: says(deny, nil)}
		s := start(t, k)
		s.client.say(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{},"clientInfo":{"name":"my client","version":"1.2"}}}`)
		for _, m := range []string{call7, `{"jsonrpc":"2.0","id":"x y","method":"tools/call","params":{"name":"hidden ü"}}`} {
			s.client.say(m)
			s.client.hears(t)
		}
		s.end()
		var got []string
		for _, c := range k.calls {
			got = append(got, fmt.Sprintf("%s %s %s %s %s %s", c.Agent, c.Session, c.CallID, c.Tool, c.Arguments, c.Context))
		}
		// sha256 of {"inputSchema":{},"name":"t"}
		want := []string{`a s 1-7 srv.t {"n":1.0} {"client":"my%20client/1.2","definition":"b36389c54a2da9b725519903a70ca5ef405b96bb0cf7b418b9b92acfa9711d0c"}`,
			`a s 2-"x%20y" srv.hidden%20%C3%BC {} {"client":"my%20client/1.2","definition":"none"}`}
		if !slices.Equal(got, want) {
			t.Errorf("%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Whatever is not clear is not passed on.
func TestNotPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &fakeKernel{})
		for _, m := range []string{
			`not json`, `{`, `[]`, `"x"`, `[` + call7 + `]`, call7 + call7,
			`{"jsonrpc":"2.0","id":7,"method":"tools/call","method":"ping","params":{"name":"t"}}`,
			`{"jsonrpc":"2.0","id":7,"method":"ping","Method":"tools/call","params":{"name":"t"}}`,
			`{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":1,"a":2}}`,
			`{"jsonrpc":"1.0","id":7,"method":"ping"}`, `{"id":7,"method":"ping"}`, `{"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":7}`,
			`{"jsonrpc":"2.0","id":7.5,"method":"ping"}`, `{"jsonrpc":"2.0","id":1e300,"method":"ping"}`, `{"jsonrpc":"2.0","id":[],"method":"ping"}`, `{"jsonrpc":"2.0","id":null,"method":"ping"}`,
			`{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}`, `{"jsonrpc":"2.0","id":7,"result":1,"error":2}`, `{"jsonrpc":"2.0","id":7,"method":""}`, `{"jsonrpc":"2.0","id":7,"method":7}`,
			"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"params\":{\"\xff\":1}}", `{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":"\ud800"}}`,
		} {
			s.client.say(m)
			if got := s.client.hears(t); !strings.Contains(got, `"id":null,"error":`) {
				t.Errorf("%s is answered %s", m, got)
			}
		}
		for _, m := range []string{ // calls that cannot be decided
			`{"jsonrpc":"2.0","id":7,"method":"tools/call"}`, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":[]}`,
			`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","Name":"u"}}`, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","ARGUMENTS":{}}}`,
			`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":""}}`, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":7}}`,
			`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","arguments":[]}}`, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","arguments":null}}`,
			`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":3}}`,
		} {
			s.client.say(m)
			if got := s.client.hears(t); !strings.Contains(got, `"id":7,"result":`) || !strings.Contains(got, `"isError":true`) {
				t.Errorf("%s is answered %s", m, got)
			}
		}
		s.client.say(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t"}}`)
		s.server.nothing(t)
		for _, m := range []string{`Server started`, "\x1b[2J", `[{"jsonrpc":"2.0","id":7,"result":{}}]`, `{"jsonrpc":"2.0","id":7,"id":8,"result":{}}`, `{"jsonrpc":"2.0","id":1234,"result":{}}`, `{"jsonrpc":"2.0","id":7,"result":`} {
			s.server.say(m)
		}
		s.client.nothing(t)
		s.end()
		s.wantOutcomes()
		if len(s.logged) != 23+1+6 {
			t.Errorf("%d lines are logged:\n%s", len(s.logged), strings.Join(s.logged, "\n"))
		}
	})
}

// An id is one request's until that is answered, and a server cannot answer what it does not
// know of.
func TestIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		decided := make(chan struct{})
		s := start(t, &fakeKernel{decide: func(helm.Call, time.Duration) (*Decision, error) { <-decided; return allow, nil }})
		s.client.say(call7)
		synctest.Wait()
		for _, id := range []string{`7`, `7.0`, `"7"`, `70e-1`} {
			s.client.say(`{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}`)
			if got := s.client.hears(t); !strings.Contains(got, "is that of another request") {
				t.Errorf("%s: %s", id, got)
			}
			s.server.say(`{"jsonrpc":"2.0","id":` + id + `,"result":{"forged":true}}`)
		}
		s.client.nothing(t)
		close(decided)
		s.wants(s.server, call7)
		s.server.say(`{"jsonrpc":"2.0","id":7.0,"result":{}}`)
		s.wants(s.client, `{"jsonrpc":"2.0","id":7.0,"result":{}}`)
		s.server.say(`{"jsonrpc":"2.0","id":7,"result":{"again":true}}`)
		s.client.nothing(t)
		s.client.say(`{"jsonrpc":"2.0","id":7,"method":"ping"}`)
		s.server.hears(t)
		s.end()
		s.wantOutcomes(`1-7 ok {}`)
	})
}

func TestCancelled(t *testing.T) {
	const notice = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"no \"more\""}}`
	t.Run("before it is decided", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			decided := make(chan struct{})
			s := start(t, &fakeKernel{decide: func(helm.Call, time.Duration) (*Decision, error) { <-decided; return allow, nil }})
			s.client.say(call7)
			synctest.Wait()
			s.client.say(notice)
			synctest.Wait()
			close(decided)
			s.server.nothing(t)
			s.client.nothing(t)
			s.end()
			s.wantOutcomes(`1-7 not_executed {"cancelled":"before the server was told"}`)
		})
	})
	t.Run("while it waits for people", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, &fakeKernel{decide: func(_ helm.Call, wait time.Duration) (*Decision, error) { time.Sleep(wait); return escalate, nil }})
			s.client.say(call7)
			synctest.Wait()
			s.client.say(notice)
			time.Sleep(lookFor + time.Second)
			s.server.nothing(t)
			s.client.nothing(t)
			if n := len(s.kernel.calls); n != 2 {
				t.Errorf("the kernel was asked %d times", n)
			}
			s.end()
			s.wantOutcomes()
		})
	})
	t.Run("while the server works", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, &fakeKernel{})
			s.client.say(call7)
			s.server.hears(t)
			s.client.say(notice)
			s.wants(s.server, notice)
			s.wantOutcomes(`1-7 error {"cancelled":"no \"more\""}`)
			s.server.say(`{"jsonrpc":"2.0","id":7,"result":{}}`) // as it may
			s.wants(s.client, `{"jsonrpc":"2.0","id":7,"result":{}}`)
			s.end()
			s.wantOutcomes(`1-7 error {"cancelled":"no \"more\""}`)
		})
	})
	t.Run("very often", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, &fakeKernel{})
			for i := range maxCancelled + 5 {
				s.client.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, i))
				s.server.hears(t)
				s.client.say(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, i))
				s.server.hears(t)
			}
			synctest.Wait()
			if n := len(s.relay.pending); n != maxCancelled {
				t.Errorf("%d requests are kept", n)
			}
			s.end()
		})
	})
}

// A server that ends leaves nothing unanswered, and nothing unrecorded.
func TestServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		decided := make(chan struct{})
		s := start(t, &fakeKernel{decide: func(c helm.Call, _ time.Duration) (*Decision, error) {
			if c.CallID == "3-8" {
				<-decided
			}
			return allow, nil
		}})
		s.client.say(call7)
		s.server.hears(t)
		s.client.say(`{"jsonrpc":"2.0","id":9,"method":"prompts/list"}`)
		s.server.hears(t)
		s.client.say(`{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"name":"t"}}`)
		s.server.hears(t)
		s.client.say(`{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"t"}}`)
		synctest.Wait()
		s.server.Close()
		synctest.Wait()
		close(decided) // the server ended while this was being decided
		var got []string
		for range 4 {
			got = append(got, s.client.hears(t))
		}
		all := strings.Join(got, "\n")
		for _, want := range []string{`"id":7,"result":`, `"id":8,"result":`, `"id":10,"result":`, `"id":9,"error":`} {
			if !strings.Contains(all, want) {
				t.Errorf("%s is not in\n%s", want, all)
			}
		}
		if err := <-s.result; !errors.Is(err, ErrServerEnded) {
			t.Error(err)
		}
		lost := ` error {"lost":"the server ended before it answered"}`
		s.wantOutcomes(`1-7`+lost, `2-10`+lost, `3-8`+lost)
		s.client.Close()
	})
}

// A client that goes takes nothing along that was allowed: it is made, and recorded.
func TestClientGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		decided := make(chan struct{})
		s := start(t, &fakeKernel{decide: func(helm.Call, time.Duration) (*Decision, error) { <-decided; return allow, nil }})
		s.client.say(call7)
		synctest.Wait()
		s.client.Close()
		synctest.Wait()
		close(decided)
		s.wants(s.server, call7)
		s.server.say(`{"jsonrpc":"2.0","id":7,"result":{}}`)
		synctest.Wait()
		<-s.server.in.ended
		s.server.Close()
		if err := <-s.result; err != nil {
			t.Error(err)
		}
		s.wantOutcomes(`1-7 ok {}`)
	})
}

func TestManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		decided := make(chan struct{})
		s := start(t, &fakeKernel{decide: func(helm.Call, time.Duration) (*Decision, error) { <-decided; return allow, nil }})
		for i := range MaxCalls + 1 {
			s.client.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"t"}}`, i))
		}
		if got := s.client.hears(t); !strings.Contains(got, fmt.Sprintf(`"id":%d,`, MaxCalls)) || !strings.Contains(got, "wait to be decided") {
			t.Error(got)
		}
		close(decided)
		for range MaxCalls {
			var m struct{ ID int }
			json.Unmarshal([]byte(s.server.hears(t)), &m)
			s.server.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"n":%d}}`, m.ID, m.ID))
			s.client.hears(t)
		}
		s.end()
		if n := len(s.kernel.reported()); n != MaxCalls {
			t.Errorf("%d outcomes", n)
		}
	})
}

// A result that the kernel does not take is recorded as its hash, and one that it cannot take
// now later.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := 0
		s := start(t, &fakeKernel{report: func(o Outcome) error {
			switch {
			case strings.Contains(string(o.Result), `"twice"`):
				return &UnfitError{errors.New("two members")}
			case strings.Contains(string(o.Result), `"later"`) && fails < 2:
				fails++
				return errors.New("no server answers")
			}
			return nil
		}})
		large := `{"x":"` + strings.Repeat("y", helm.MaxInputBytes) + `"}`
		for i, result := range []string{large, `{"twice":1,"twice":2}`, `{"later":1}`} {
			s.client.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"t"}}`, i))
			s.server.hears(t)
			answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, i, result)
			s.server.say(answer)
			s.wants(s.client, answer)
		}
		time.Sleep(5 * time.Second)
		s.end()
		s.wantOutcomes(`1-0 ok `+string(Summary([]byte(large))), `2-1 ok `+string(Summary([]byte(`{"twice":1,"twice":2}`))), `3-2 ok {"later":1}`)
	})
}
