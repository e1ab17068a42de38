package mcp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// people answer after a time, or when the client's user does.
func people(k *fakeKernel, after time.Duration, then *Decision) {
	began := time.Time{}
	var once sync.Once
	k.decide = func(_ helm.Call, wait time.Duration) (*Decision, error) {
		once.Do(func() { began = time.Now() })
		select {
		case <-time.After(min(wait, after-time.Since(began))):
		case <-k.changed:
			k.mu.Lock()
			defer k.mu.Unlock()
			if strings.HasSuffix(k.answers[0], "true") {
				return allow, nil
			}
			return deny, nil
		}
		if time.Since(began) >= after {
			return then, nil
		}
		return escalate, nil
	}
}

const withProgress = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","arguments":{"n":1.0},"_meta":{"progressToken":"p/7"}}}`

func TestWaitsForPeople(t *testing.T) {
	for _, c := range []struct {
		name   string
		after  time.Duration
		then   *Decision
		notes  int
		told   string
		waited time.Duration
	}{
		{"approved", 12 * time.Second, allow, 3, "", 12 * time.Second},
		{"refused", 12 * time.Second, deny, 3, "DENY by no", 12 * time.Second},
		{"not answered", time.Hour, nil, 11, "ESCALATE by ask (ASK): ask somebody. The call was not made. A person has to approve this very call, until 2030-01-01T00:00:00Z: helm approve e1. When it is approved, make the same call again, with each argument word for word.", 52 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &fakeKernel{}
				people(k, c.after, c.then)
				s := start(t, k)
				began := time.Now()
				s.client.say(withProgress)
				last := 0.0
				for range c.notes {
					var n float64
					got := s.client.hears(t)
					if _, err := fmt.Sscanf(got, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p/7","progress":%g,"message":"waits for an approval, until`, &n); err != nil || n <= last || n > 0.1 {
						t.Errorf("%s: %v", got, err)
					}
					last = n
				}
				if c.told == "" {
					s.wants(s.server, withProgress)
				} else if got := s.client.hears(t); !strings.Contains(got, c.told) || !strings.Contains(got, `"isError":true`) {
					t.Error(got)
				}
				if took := time.Since(began); took != c.waited {
					t.Errorf("it took %s", took)
				}
				time.Sleep(time.Minute)
				s.client.nothing(t)
				s.server.nothing(t)
				s.end()
			})
		})
	}
}

const mayBeAsked = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{"elicitation":{}}}}`

func TestElicits(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		made         bool
		told         string
		answers      []string
		waited       time.Duration
	}{
		{"accepted", `"result":{"action":"accept","content":{}}`, true, "", []string{"e1true"}, 0},
		{"declined", `"result":{"action":"decline"}`, false, "DENY by no", []string{"e1false"}, 0},
		{"dismissed", `"result":{"action":"cancel"}`, false, "ESCALATE by ask", nil, lookFor},
		{"nonsense", `"result":{"action":7}`, false, "ESCALATE by ask", nil, lookFor},
		{"an error", `"error":{"code":-1,"message":"no form"}`, false, "ESCALATE by ask", nil, lookFor},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &fakeKernel{}
				people(k, time.Hour, nil)
				s := start(t, k)
				s.client.say(mayBeAsked)
				s.client.say(call7)
				s.server.hears(t)
				asked := s.client.hears(t)
				if !strings.Contains(asked, `"method":"elicitation/create"`) || !strings.Contains(asked, `call srv.t with {\"n\":1.0}`) || !strings.Contains(asked, `"requestedSchema":{"type":"object","properties":{}}`) {
					t.Fatal(asked)
				}
				_, id, _ := strings.Cut(asked, `"id":`)
				id, _, _ = strings.Cut(id, ",")
				// A server cannot answer for the user.
				s.server.say(`{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept"}}`)
				s.client.nothing(t)
				s.server.nothing(t)
				began := time.Now()
				s.client.say(`{"jsonrpc":"2.0","id":` + id + `,` + c.answer + `}`)
				if c.made {
					s.wants(s.server, call7)
				} else if got := s.client.hears(t); !strings.Contains(got, c.told) {
					t.Error(got)
				}
				if took := time.Since(began); took != c.waited {
					t.Errorf("it took %s", took)
				}
				if !slices.Equal(k.answers, c.answers) {
					t.Errorf("the kernel is told %s", k.answers)
				}
				s.server.nothing(t)
				s.end()
			})
		})
	}
}

// A question that nobody answers is taken back.
func TestElicitsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{}
		people(k, time.Hour, nil)
		s := start(t, k)
		s.client.say(mayBeAsked)
		s.client.say(call7)
		s.client.hears(t)
		time.Sleep(s.relay.Wait)
		all := s.client.hears(t) + " " + s.client.hears(t)
		if !strings.Contains(all, `"method":"notifications/cancelled"`) || !strings.Contains(all, "ESCALATE by ask") {
			t.Error(all)
		}
		s.end()
	})
}

// Who may not answer, or cannot be shown what it is about, is not asked.
func TestDoesNotElicit(t *testing.T) {
	operator := *escalate
	operator.Approval = &Approval{ID: "e1", Approve: "helm approve e1"}
	for _, c := range []struct{ name, initialize, call string }{
		{"no elicitation", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}`, call7},
		{"by URL only", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{"elicitation":{"url":{}}}}}`, call7},
		{"too much to show", mayBeAsked, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","arguments":{"x":"` + strings.Repeat("y", maxShown) + `"}}}`},
		{"another grade", mayBeAsked, call7},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &fakeKernel{decide: func(_ helm.Call, wait time.Duration) (*Decision, error) { time.Sleep(wait); return escalate, nil }}
				if c.name == "another grade" {
					k.decide = func(_ helm.Call, wait time.Duration) (*Decision, error) { time.Sleep(wait); return &operator, nil }
				}
				s := start(t, k)
				s.client.say(c.initialize)
				s.client.say(c.call)
				if got := s.client.hears(t); !strings.Contains(got, "ESCALATE by ask") {
					t.Error(got)
				}
				s.end()
			})
		})
	}
}

// meta is what a client of revision 2026-07-28 says in every request.
const modern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"m","version":"2"},"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"form":{}}},"other":1}`

func modernCall(id int, arguments, more string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"t","arguments":%s,%s%s}}`, id, arguments, modern, more)
}

// Since revision 2026-07-28 the question is the answer to the call, and the call is made again
// with the user's.
func TestElicitsStateless(t *testing.T) {
	for _, c := range []struct {
		name, arguments, responses, state string
		made                              bool
		answers                           []string
		told                              string
	}{
		{"accepted", `{"a":1,"b":2}`, `{"helm-ai-kernel":{"action":"accept","content":{}}}`, "", true, []string{"e1true"}, ""},
		{"the same, written otherwise", `{ "b":2, "a":1 }`, `{"helm-ai-kernel":{"action":"accept"}}`, "", true, []string{"e1true"}, ""},
		{"declined", `{"a":1,"b":2}`, `{"helm-ai-kernel":{"action":"decline"}}`, "", false, []string{"e1false"}, "DENY by no"},
		{"dismissed", `{"a":1,"b":2}`, `{"helm-ai-kernel":{"action":"cancel"}}`, "", false, nil, "ESCALATE by ask"},
		{"of another call", `{"a":1,"b":3}`, `{"helm-ai-kernel":{"action":"accept"}}`, "", false, nil, "input_required"},
		{"to no question", `{"a":1,"b":2}`, `{"helm-ai-kernel":{"action":"accept"}}`, `"x"`, false, nil, "input_required"},
		{"no answer", `{"a":1,"b":2}`, `{"other":{"action":"accept"}}`, "", false, nil, "input_required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &fakeKernel{}
				k.decide = func(helm.Call, time.Duration) (*Decision, error) {
					k.mu.Lock()
					defer k.mu.Unlock()
					switch {
					case len(k.answers) == 0:
						return escalate, nil
					case strings.HasSuffix(k.answers[0], "true"):
						return allow, nil
					}
					return deny, nil
				}
				s := start(t, k)
				s.client.say(modernCall(7, `{"a":1,"b":2}`, ""))
				got := s.client.hears(t)
				if !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":7,"result":`) || !strings.Contains(got, `"resultType":"input_required"`) || !strings.Contains(got, `"inputRequests":{"helm-ai-kernel":{"method":"elicitation/create","params":{"mode":"form","message":"The agent asks to call srv.t with`) {
					t.Fatal(got)
				}
				state := c.state
				if state == "" {
					_, state, _ = strings.Cut(got, `"requestState":`)
					state = state[:strings.IndexAny(state, ",}")]
				}
				s.client.say(modernCall(8, c.arguments, `,"inputResponses":`+c.responses+`,"requestState":`+state))
				if c.made {
					s.wants(s.server, modernCall(8, c.arguments, ""))
				} else {
					got := s.client.hears(t)
					if !strings.Contains(got, c.told) || !strings.Contains(got, `"resultType":`) {
						t.Error(got)
					}
				}
				s.server.nothing(t)
				if !slices.Equal(k.answers, c.answers) {
					t.Errorf("the kernel is told %s", k.answers)
				}
				s.end()
			})
		})
	}
}

// A call that the server has questions about has one decision and one outcome, and goes on as
// what was decided.
func TestQuestionsOfTheServer(t *testing.T) {
	const asks = `{"resultType":"input_required","inputRequests":{"q":{"method":"roots/list"}},"requestState":"st"}`
	const responses = `,"inputResponses":{"q":{"roots":[]}},"requestState":"st"`
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &fakeKernel{})
		s.client.say(modernCall(7, `{"a":1}`, ""))
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":7,"result":` + asks + `}`)
		s.client.hears(t)
		s.wantOutcomes()
		s.client.say(modernCall(8, `{"a":1}`, responses))
		s.wants(s.server, modernCall(8, `{"a":1}`, responses))
		s.server.say(`{"jsonrpc":"2.0","id":8,"result":{"resultType":"complete","content":[]}}`)
		s.client.hears(t)
		s.wantOutcomes(`1-7 ok {"resultType":"complete","content":[]}`)
		if len(s.kernel.calls) != 1 {
			t.Errorf("%d decisions", len(s.kernel.calls))
		}
		for i, more := range []string{modernCall(9, `{"a":2}`, responses), modernCall(10, `{"a":1}`, responses)} { // another call; once more
			s.client.say(more)
			s.server.hears(t)
			if len(s.kernel.calls) != 2+i {
				t.Errorf("%s is not decided", more)
			}
		}
		s.client.say(modernCall(11, `{"a":3}`, ""))
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":11,"result":` + asks + `}`)
		s.client.hears(t)
		s.end()
		s.wantOutcomes(`1-7 ok {"resultType":"complete","content":[]}`, `3-9 error {"lost":"the server ended before it answered"}`, `4-10 error {"lost":"the server ended before it answered"}`,
			`5-11 error {"lost":"the session ended before the call did"}`)
	})
}

// A task's outcome is that of its result.
func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &fakeKernel{})
		s.client.say(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","task":{"ttl":60000}}}`)
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":7,"result":{"task":{"taskId":"k1","status":"working"}}}`)
		s.client.hears(t)
		s.wantOutcomes()
		s.client.say(`{"jsonrpc":"2.0","id":8,"method":"tasks/result","params":{"taskId":"k1"}}`)
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":8,"result":{"content":[]}}`)
		s.client.hears(t)
		s.end()
		s.wantOutcomes(`1-7 ok {"content":[]}`)
	})
}

func tool(name, description string) string {
	return fmt.Sprintf(`{"name":%q,"description":%q,"inputSchema":{}}`, name, description)
}

func sha(t *testing.T, tools ...string) string {
	t.Helper()
	r := &Relay{Name: "x"}
	var list []jsontext.Value
	for _, tool := range tools {
		list = append(list, jsontext.Value(tool))
	}
	all, err := r.define(list)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	for _, sha := range all {
		return sha
	}
	return ""
}

// The list is pinned whole, over all pages, whoever asked for it; calls say the definition that
// was listed last, and a server that has not listed its tools since they changed is asked.
func TestPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{}
		s := bare(t, k)
		// own answers the relay's own question.
		own := func(result string) {
			t.Helper()
			asked := s.server.hears(t)
			_, id, _ := strings.Cut(asked, `"id":`)
			id, _, _ = strings.Cut(id, ",")
			if !strings.Contains(asked, `"method":"tools/list"`) {
				t.Fatal(asked)
			}
			s.server.say(`{"jsonrpc":"2.0","id":` + id + `,"result":` + result + `}`)
		}
		wantLists := func(want ...string) {
			t.Helper()
			synctest.Wait()
			k.mu.Lock()
			defer k.mu.Unlock()
			var got []string
			for _, l := range k.lists {
				got = append(got, fmt.Sprint(l))
			}
			if !slices.Equal(got, want) {
				t.Errorf("the kernel is told\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		definition := func(want string) {
			t.Helper()
			k.mu.Lock()
			defer k.mu.Unlock()
			if got := string(k.calls[len(k.calls)-1].Context); !strings.Contains(got, `"definition":"`+want+`"`) {
				t.Errorf("%s, want %s", got, want)
			}
		}
		a, b, c := tool("t", "one"), tool("u ü", "two"), tool("t", "changed")
		first := fmt.Sprintf("[{t %s} {u%%20%%C3%%BC %s}]", sha(t, a), sha(t, b))
		s.client.say(call7)
		own(`{"tools":[` + a + `],"nextCursor":"2"}`)
		own(`{"tools":[` + b + `]}`)
		s.server.hears(t)
		wantLists(first)
		definition(sha(t, a))

		// The same again by the client, in pages: nothing new.
		for i, page := range []string{`{"tools":[` + a + `],"nextCursor":"p"}`, `{"tools":[` + b + `]}`} {
			s.client.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":{%s}}`, i, []string{"", `"cursor":"p"`}[i]))
			s.server.hears(t)
			s.server.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, i, page))
			s.client.hears(t)
		}
		wantLists(first)

		// It changed, as the server says: it is asked before the next call.
		s.server.say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		s.client.hears(t)
		s.client.say(modernCall(20, `{}`, ""))
		if asked := s.server.in.peek(t); !strings.Contains(asked, `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`) || strings.Contains(asked, `"other"`) {
			t.Errorf("it is asked %s", asked)
		}
		own(`{"tools":[` + c + `]}`)
		s.server.hears(t)
		second := fmt.Sprintf("[{t %s}]", sha(t, c))
		wantLists(first, second)
		definition(sha(t, c))

		// The client saw a change that the server did not tell of.
		s.client.say(`{"jsonrpc":"2.0","id":21,"method":"tools/list"}`)
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":21,"result":{"tools":[` + a + `,` + c + `]}}`)
		s.client.hears(t)
		wantLists(first, second, fmt.Sprintf("[{t %s}]", sha(t, a, c)))

		// A list that the kernel does not take denies calls until it does.
		k.list = func([]Tool) error { return errors.New("not now") }
		s.client.say(`{"jsonrpc":"2.0","id":22,"method":"tools/list"}`)
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":22,"result":{"tools":[` + b + `]}}`)
		s.client.hears(t)
		decided := len(k.calls)
		s.client.say(modernCall(23, `{}`, ""))
		own(`{"tools":[` + b + `]}`)
		if got := s.client.hears(t); !strings.Contains(got, "not decided, and was not made: not now") {
			t.Error(got)
		}
		for _, bad := range []string{`{"tools":7}`, `{"tools":[7]}`, `{"tools":[{"name":""}]}`, `{"tools":[{}],"nextCursor":7}`} {
			s.client.say(modernCall(24, `{}`, ""))
			own(bad)
			if got := s.client.hears(t); !strings.Contains(got, "not decided, and was not made") {
				t.Error(got)
			}
		}
		s.client.say(modernCall(25, `{}`, "")) // it does not answer
		s.server.hears(t)
		if got := s.client.hears(t); !strings.Contains(got, "did not list its tools") {
			t.Error(got)
		}
		s.server.hears(t) // that it is no longer wanted
		if len(k.calls) != decided {
			t.Error("a call was decided under a list that is not pinned")
		}
		k.list = nil
		s.client.say(modernCall(26, `{}`, ""))
		own(`{"tools":[]}`)
		s.server.hears(t)
		definition(NotListed)
		s.end()
	})
}

// A list that was asked for before it changed is an old one.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(t, &fakeKernel{})
		s.client.say(`{"jsonrpc":"2.0","id":"l","method":"tools/list"}`)
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		s.client.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":"l","result":{"tools":[{"name":"t"}]}}`)
		s.client.hears(t)
		s.client.say(call7)
		if asked := s.server.hears(t); !strings.Contains(asked, `"method":"tools/list"`) {
			t.Errorf("the server is told %s", asked)
		}
		s.end()
	})
}

// A kernel that is told too much at once is told again, and one that refuses is not.
func TestBusy(t *testing.T) {
	for _, c := range []struct {
		name  string
		fails func(n int) error
		lists int
		made  bool
	}{
		{"at first", func(n int) error {
			if n < 4 {
				return &BusyError{errors.New("too much")}
			}
			return nil
		}, 4, true},
		{"for long", func(int) error { return &BusyError{errors.New("too much")} }, 17, false},
		{"not busy", func(int) error { return errors.New("no") }, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &fakeKernel{}
				k.list = func([]Tool) error {
					k.mu.Lock()
					defer k.mu.Unlock()
					return c.fails(len(k.lists))
				}
				s := start(t, k)
				if n := len(k.lists); n != c.lists {
					t.Errorf("the kernel was told %d times", n)
				}
				k.mu.Lock()
				pinned := len(s.logged) == 0
				k.mu.Unlock()
				if pinned != c.made {
					t.Errorf("%s is logged", s.logged)
				}
				s.end()
			})
		})
	}
}

// What one relay of a gateway told the kernel, another does not tell again.
func TestToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := &told{definitions: map[string]string{"srv.t": sha(t, `{"name":"t","inputSchema":{}}`)}}
		k := &fakeKernel{}
		s := bareWith(t, k, known)
		s.client.say(`{"jsonrpc":"2.0","id":"l","method":"tools/list"}`)
		s.server.hears(t)
		s.server.say(`{"jsonrpc":"2.0","id":"l","result":{"tools":[{"name":"t","inputSchema":{}}]}}`)
		s.client.hears(t)
		s.client.say(call7)
		s.server.hears(t)
		if len(k.lists) != 0 || !strings.Contains(string(k.calls[0].Context), known.definitions["srv.t"]) {
			t.Errorf("%v %s", k.lists, k.calls[0].Context)
		}
		s.end()
	})
}

// peek returns the next message without taking it.
func (p *pipe) peek(t *testing.T) string {
	t.Helper()
	m := <-p.messages
	rest := []string{m}
	for len(p.messages) > 0 {
		rest = append(rest, <-p.messages)
	}
	for _, m := range rest {
		p.messages <- m
	}
	return m
}

func TestDefinition(t *testing.T) {
	same := []string{`{"name":"t","inputSchema":{"a":1,"b":[1,2]}}`, ` { "inputSchema" : {"b":[1,2],"a":1}, "name":"\u0074" } `}
	if sha(t, same[0]) != sha(t, same[1]) {
		t.Error("one definition, written twice, became two")
	}
	all := map[string]string{}
	for _, d := range []string{same[0], `{"name":"t","inputSchema":{"a":1.0,"b":[1,2]}}`, `{"name":"t","inputSchema":{"a":1,"b":[2,1]}}`, `{"name":"t","inputSchema":{"a":9007199254740992}}`,
		`{"name":"t","inputSchema":{"a":9007199254740993}}`, `{"name":"t","inputSchema":{"a":1,"b":[1,2]},"description":""}`, `{"name":"t","inputSchema":{"a":1,"b":[1,2]},"description":"\u200b"}`} {
		if other := all[sha(t, d)]; other != "" {
			t.Errorf("%s\nand %s\nhave one hash", d, other)
		}
		all[sha(t, d)] = d
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢 {\"a\":1}\n": "plain é 漢 {\"a\":1}\n", "\x1b[2J\a\r\t\r\n": "\\u{001B}[2J\\u{0007}\\u{000D}\t\r\n", "a\u200bb\u202ec\u2066": `a\u{200B}b\u{202E}c\u{2066}`,
		"\U000E0041\U000E0042": `\u{E0041}\u{E0042}`, "\xff": `\xFF`, `\u{200B} \x41`: `\\u{200B} \\x41`, "\u00a0\u3164\u115f\ufe0f\ufeff\u00ad": `\u{00A0}\u{3164}\u{115F}\u{FE0F}\u{FEFF}\u{00AD}`,
		"\uE000\U0010FFFF": `\u{E000}\u{10FFFF}`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}

func TestHidden(t *testing.T) {
	for in, want := range map[string]int{
		`{"a":"plain\r\n\ttext \\u0041 é"}`: 0, `{"a":"\u001b[2J\u200b"}`: 2, "{\"\u200b\":\"\u202e\"}": 2, `{"a":["\r"]}`: 1, `{"a"`: 0,
	} {
		if got := Hidden(in); got != want {
			t.Errorf("%s hides %d, want %d", in, got, want)
		}
	}
}

// Whatever a client says, the server is told nothing that is a call and was not decided; and
// whatever a server says, nothing panics.
func FuzzRelay(f *testing.F) {
	f.Add(call7, `{"jsonrpc":"2.0","id":7,"result":{}}`)
	f.Add(modernCall(7, `{}`, `,"inputResponses":{"helm-ai-kernel":{"action":"accept"}},"requestState":"x"`), `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
	f.Add(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}`, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"x"}],"nextCursor":"y"}}`)
	f.Add(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{"elicitation":{}}}}`, `x`)
	f.Fuzz(func(t *testing.T, fromClient, fromServer string) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, &fakeKernel{decide: says(deny, nil)})
			s.client.say(fromClient)
			s.server.say(fromServer)
			synctest.Wait()
			for len(s.server.in.messages) > 0 {
				m, err := readMessage([]byte(<-s.server.in.messages), true)
				if err != nil || m.method == "tools/call" {
					t.Errorf("%q made the server be told %s: %v", fromClient, m.raw, err)
				}
			}
			s.end()
		})
	})
}
