package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

const testPolicy = `[policy]
id = "test"
version = 1
format = "helm.policy/v1"
mode = "enforce"

[[tool]]
name = "pay.transfer"
args = { amount = "int", to = "string" }

[[rule]]
id = "small"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = "args.amount <= 1000"

[[rule]]
id = "gentle"
verdict = "ESCALATE"
tools = ["pay.transfer"]
when = "args.amount == 2000000"
approvers = { grade = "client" }

[[rule]]
id = "large"
verdict = "ESCALATE"
tools = ["pay.transfer"]
when = "args.amount > 1000 && args.amount != 2000000"
`

// A fixture is a server over a log of its own.
type fixture struct {
	t        *testing.T
	api      *Server
	http     *httptest.Server
	kernel   *kernel.Kernel
	tokens   *access.Tokens
	operator string
}

func newFixture(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	dir := t.TempDir()
	store, err := sqlite.Open(filepath.Join(dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	opts := ledger.Options{Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: time.Now}
	if err := ledger.Create(t.Context(), store, "helm.test/1", opts); err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(context.Background(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, kernel: kernel.New(log, time.Now)}
	p, err := policy.Compile("test.toml", []byte(testPolicy))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.kernel.Activate(t.Context(), p, "operator:test"); err != nil {
		t.Fatal(err)
	}
	if f.tokens, err = access.Open(filepath.Join(dir, "tokens.json")); err != nil {
		t.Fatal(err)
	}
	var hash string
	f.operator, hash = access.New()
	c := Config{Kernel: f.kernel, Tokens: f.tokens, OperatorToken: hash, Anonymous: true, Heartbeat: 50 * time.Millisecond,
		Status: func() (Process, error) {
			return Process{Version: "test", Started: receipt.FormatTime(time.Now()), Listeners: []Listener{}}, nil
		},
		Reload:  func() (string, error) { return "the same policy", nil },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "helm_up 1") })}
	if change != nil {
		change(&c)
	}
	f.api = New(c)
	f.http = httptest.NewServer(f.api.Handler())
	t.Cleanup(func() {
		f.api.Close()
		f.http.Close()
		log.Close()
		store.Close()
	})
	return f
}

// token makes a token.
func (f *fixture) token(role access.Role, name, agent string) string {
	f.t.Helper()
	s, err := f.tokens.Add(access.Token{Name: name, Role: role, Agent: agent}, ledger.WriteFile)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// do sends a request and returns status, answer and header.
func (f *fixture) do(method, path, token, body string, headers ...string) (int, []byte, http.Header) {
	f.t.Helper()
	req, err := http.NewRequest(method, f.http.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, b, resp.Header
}

// problem checks that an answer is a problem document with that code.
func (f *fixture) problem(status int, body []byte, h http.Header, want int, code string) {
	f.t.Helper()
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		f.t.Fatalf("%v: %s", err, body)
	}
	if status != want || p.Status != want || string(p.Code) != code || p.Verdict != "DENY" || p.Detail == "" || h.Get("Content-Type") != "application/problem+json" {
		f.t.Errorf("answered %d %s, and %d %s was expected: %s", status, p.Code, want, code, body)
	}
}

func (f *fixture) decide(amount int, extra string) DecisionAnswer {
	f.t.Helper()
	status, b, _ := f.do("POST", "/v1/decisions", "", fmt.Sprintf(`{"agent":"a","session":"s","tool":"pay.transfer","arguments":{"amount":%d,"to":"x"}%s}`, amount, extra))
	if status != http.StatusOK {
		f.t.Fatalf("%d: %s", status, b)
	}
	var d DecisionAnswer
	if err := json.Unmarshal(b, &d); err != nil {
		f.t.Fatal(err)
	}
	return d
}

func TestRoles(t *testing.T) {
	f := newFixture(t, nil)
	d := f.decide(5, "")
	tokens := map[string]string{"none": "", "operator": f.operator, "auditor": f.token(access.Auditor, "eve", ""),
		"agent": f.token(access.Agent, "ci", "a"), "unknown": "helm_nobody"}
	may := map[grant][]string{anyone: {"none", "operator", "auditor", "agent", "unknown"}, asAgent: {"agent"}, asAuditor: {"auditor", "operator"}, asOperator: {"operator"}, asAgentOrOperator: {"agent", "operator"}}
	for _, r := range routes {
		method, path, _ := strings.Cut(r.pattern, " ")
		path = strings.NewReplacer("{id}", d.ID, "{path...}", "0/000.p/1", "{server}", "pay").Replace(path)
		for who, token := range tokens {
			body := ""
			if method == "POST" {
				body = `{"nonsense":1}` // refused as such, where the caller may ask at all
			}
			if path == "/v1/policy/reload" || path == "/v1/evidence" {
				continue // they read no body
			}
			status, b, _ := f.do(method, path, token, body)
			denied := status == http.StatusUnauthorized || status == http.StatusForbidden
			if allowed := slices.Contains(may[r.grant], who); allowed == denied {
				t.Errorf("%s with the token of %s: %d %s", r.pattern, who, status, b)
			}
		}
	}
	// An agent's token speaks for its agent only.
	status, b, h := f.do("POST", "/v1/decisions", tokens["agent"], `{"agent":"b","session":"s","tool":"t","arguments":{}}`)
	f.problem(status, b, h, 403, "FORBIDDEN")
	status, b, h = f.do("POST", "/v1/sessions/close", tokens["agent"], `{"agent":"b","session":"s"}`)
	f.problem(status, b, h, 403, "FORBIDDEN")
	// Once one agent has a token, every agent needs one.
	status, b, h = f.do("POST", "/v1/decisions", "", `{"agent":"a","session":"s","tool":"t","arguments":{}}`)
	f.problem(status, b, h, 401, "UNAUTHENTICATED")
	for _, bad := range []string{"Basic x", "Bearer", "Bearer ", "helm_x"} {
		status, b, h = f.do("GET", "/v1/receipts", "", "", "Authorization", bad)
		f.problem(status, b, h, 401, "UNAUTHENTICATED")
	}
	// The outcome of another's decision: the principal differs.
	status, b, h = f.do("POST", "/v1/outcomes", tokens["agent"], fmt.Sprintf(`{"decision":%q,"status":"ok"}`, d.ID))
	f.problem(status, b, h, 403, "FORBIDDEN")
}

func TestRequests(t *testing.T) {
	f := newFixture(t, nil)
	good := `{"agent":"a","session":"s","tool":"pay.transfer","arguments":{"amount":5,"to":"x"}}`
	for _, c := range []struct {
		name, path, body, code string
		status                 int
		headers                []string
	}{
		{"unknown member", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":{},"x":1}`, "BAD_REQUEST", 400, nil},
		{"member in another case", "/v1/decisions", `{"Agent":"a","session":"s","tool":"t","arguments":{}}`, "BAD_REQUEST", 400, nil},
		{"member twice", "/v1/decisions", `{"agent":"a","agent":"b","session":"s","tool":"t","arguments":{}}`, "BAD_REQUEST", 400, nil},
		{"argument twice", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":{"x":1,"x":2}}`, "BAD_REQUEST", 400, nil},
		{"more behind it", "/v1/decisions", good + `{}`, "BAD_REQUEST", 400, nil},
		{"no JSON", "/v1/decisions", `hello`, "BAD_REQUEST", 400, nil},
		{"not UTF-8", "/v1/decisions", "{\"agent\":\"a\",\"session\":\"s\",\"tool\":\"t\",\"arguments\":{\"x\":\"\xff\"}}", "BAD_REQUEST", 400, nil},
		{"lone surrogate", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":{"x":"\ud800"}}`, "BAD_REQUEST", 400, nil},
		{"no agent", "/v1/decisions", `{"session":"s","tool":"t","arguments":{}}`, "BAD_REQUEST", 400, nil},
		{"agent with a space", "/v1/decisions", `{"agent":"a b","session":"s","tool":"t","arguments":{}}`, "BAD_REQUEST", 400, nil},
		{"agent with an escape", "/v1/decisions", `{"agent":"a\u001b[31m","session":"s","tool":"t","arguments":{}}`, "BAD_REQUEST", 400, nil},
		{"arguments no object", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":[1]}`, "BAD_REQUEST", 400, nil},
		{"arguments missing", "/v1/decisions", `{"agent":"a","session":"s","tool":"t"}`, "BAD_REQUEST", 400, nil},
		{"context no object", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":{},"context":1}`, "BAD_REQUEST", 400, nil},
		{"too deep", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":{"x":` + strings.Repeat("[", 80) + strings.Repeat("]", 80) + `}}`, "BAD_REQUEST", 400, nil},
		{"too large", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":{"x":"` + strings.Repeat("x", MaxBody) + `"}}`, "TOO_LARGE", 413, nil},
		{"too many fields", "/v1/decisions", `{"agent":"a","session":"s","tool":"t","arguments":{"x":[` + strings.Repeat("1,", 5000) + `1]}}`, "TOO_LARGE", 413, nil},
		{"another content type", "/v1/decisions", good, "BAD_REQUEST", 400, []string{"Content-Type", "text/plain"}},
		{"another host", "/v1/decisions", good, "FORBIDDEN", 403, []string{"Host", "evil.example"}},
		{"another origin", "/v1/decisions", good, "FORBIDDEN", 403, []string{"Origin", "http://evil.example"}},
		{"outcome of nothing", "/v1/outcomes", `{"decision":"99","status":"ok"}`, "NOT_FOUND", 404, nil},
		{"outcome of no decision", "/v1/outcomes", `{"decision":"0","status":"ok"}`, "NOT_FOUND", 404, nil},
		{"outcome without a name", "/v1/outcomes", `{"status":"ok"}`, "BAD_REQUEST", 400, nil},
		{"unknown status", "/v1/outcomes", `{"decision":"2","status":"fine"}`, "BAD_REQUEST", 400, nil},
		{"close of nothing", "/v1/sessions/close", `{"agent":"a","session":"none"}`, "NOT_FOUND", 404, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := f.kernel.Log().Size()
			status, b, h := f.do("POST", c.path, "", c.body, c.headers...)
			f.problem(status, b, h, c.status, c.code)
			if f.kernel.Log().Size() != before {
				t.Error("it left an entry")
			}
		})
	}
	status, b, h := f.do("DELETE", "/v1/decisions", "", "")
	f.problem(status, b, h, 405, "METHOD_NOT_ALLOWED")
	if h.Get("Allow") != "POST" {
		t.Errorf("Allow is %q", h.Get("Allow"))
	}
	status, b, h = f.do("GET", "/nothing", "", "")
	f.problem(status, b, h, 404, "NOT_FOUND")
	for _, q := range []string{"nonsense=1", "limit=0", "limit=1001", "after=x", "last=1&after=1", "verdict=allow", "kind=decisions", "kind=Decision", "session=s", "follow=yes", "agent=a&agent=b"} {
		status, b, h = f.do("GET", "/v1/receipts?"+q, f.operator, "")
		f.problem(status, b, h, 400, "BAD_REQUEST")
	}
	for _, q := range []string{"", "all=true&agent=a", "all=true&since=yesterday", "all=true&at=-1"} {
		status, b, h = f.do("GET", "/v1/evidence?"+q, f.operator, "")
		f.problem(status, b, h, 400, "BAD_REQUEST")
	}
	for _, q := range []string{"all=true&at=999999", "all=true&consistency_from=999999", "agent=nobody", "agent=nobody&session=s"} {
		status, b, h = f.do("GET", "/v1/evidence?"+q, f.operator, "")
		f.problem(status, b, h, 404, "NOT_FOUND")
	}
}

func TestAgentRate(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.AgentRate = 2 })
	limited := 0
	for range 10 {
		status, b, h := f.do("POST", "/v1/decisions", "", `{"agent":"a","session":"s","tool":"t","arguments":{}}`)
		if status != http.StatusOK {
			limited++
			f.problem(status, b, h, 429, "RATE_LIMITED")
			if h.Get("Retry-After") == "" {
				t.Error("there is no Retry-After")
			}
		}
	}
	if limited == 0 {
		t.Error("an agent asked ten times at once, and two a second are allowed")
	}
	if status, b, _ := f.do("POST", "/v1/decisions", "", `{"agent":"b","session":"s","tool":"t","arguments":{}}`); status != http.StatusOK {
		t.Errorf("another agent was answered %d %s", status, b)
	}
}

// TestFollow reads a stream in pieces while entries come, and goes on each time
// with after: nothing is missing, nothing comes twice.
func TestFollow(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxStreams = 2 })
	const n = 300
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			f.decide(i%1000, "")
		}
	})
	var seen []uint64
	after, heartbeats := "", 0
	for len(seen) < n {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		lines, stop := f.follow(ctx, "&kind=decision"+after)
		for range 1 + len(seen)%97 {
			line, ok := <-lines
			if !ok {
				t.Fatalf("the stream ended after %d entries", len(seen))
			}
			if len(line) == 0 {
				heartbeats++
				continue
			}
			var l ReceiptLine
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatal(err)
			}
			seen = append(seen, l.Index)
			after = fmt.Sprintf("&after=%d", l.Index)
			if len(seen) == n {
				break
			}
		}
		stop()
		cancel()
	}
	wg.Wait()
	for i := 1; i < len(seen); i++ {
		if seen[i] <= seen[i-1] {
			t.Fatalf("entry %d comes after entry %d", seen[i], seen[i-1])
		}
	}
	if want := f.kernel.Log().Size() - 2; uint64(len(seen)) != want {
		t.Fatalf("%d entries were seen of %d", len(seen), want)
	}

	// An idle stream shows that it lives, and ends with the server.
	lines, stop := f.follow(t.Context(), after)
	defer stop()
	for range 3 {
		if line, ok := <-lines; !ok || len(line) != 0 {
			t.Fatalf("an idle stream said %q", line)
		}
	}
	second, stop2 := f.follow(t.Context(), after)
	defer stop2()
	<-second
	for began := time.Now(); ; { // streams that a client left are noticed with the next heartbeat
		status, b, h := f.do("GET", "/v1/receipts?follow=true"+after, f.operator, "")
		if status == 429 {
			f.problem(status, b, h, 429, "OVERLOADED")
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("a third stream was opened, and two are allowed")
		}
	}
	f.api.Close()
	for range lines {
	}
}

func (f *fixture) follow(ctx context.Context, query string) (<-chan []byte, func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, "GET", f.http.URL+"/v1/receipts?follow=true"+query, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.operator)
	resp, err := http.DefaultClient.Do(req)
	for began := time.Now(); err == nil && resp.StatusCode == http.StatusTooManyRequests && time.Since(began) < 5*time.Second; {
		resp.Body.Close()
		time.Sleep(10 * time.Millisecond)
		resp, err = http.DefaultClient.Do(req)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		f.t.Fatal(err, resp)
	}
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		defer resp.Body.Close()
		s := bufio.NewScanner(resp.Body)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			select {
			case lines <- slices.Clone(s.Bytes()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines, cancel
}

// TestTiles computes the log's root from what is served, as any C2SP client does.
func TestTiles(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 300 {
		f.decide(i, "")
	}
	_, cp, _ := f.do("GET", "/log/checkpoint", "", "")
	c, err := receipt.VerifyCheckpoint(string(cp), f.kernel.Log().Origin(), f.kernel.Log().Key())
	if err != nil {
		t.Fatal(err)
	}
	read := func(indexes []int64) ([]tlog.Hash, error) {
		tree := tlog.Tree{N: int64(c.Size), Hash: tlog.Hash(c.Root)}
		return tlog.TileHashReader(tree, tileReader{f}).ReadHashes(indexes)
	}
	if h, err := tlog.TreeHash(int64(c.Size), tlog.HashReaderFunc(read)); err != nil || h != tlog.Hash(c.Root) {
		t.Fatalf("the tiles lead to %v, the checkpoint says %x: %v", h, c.Root, err)
	}
	// The entries of the bundles hash to the leaves of the tiles.
	_, bundle, _ := f.do("GET", "/log/tile/entries/000", "", "")
	_, tile, _ := f.do("GET", "/log/tile/0/000", "", "")
	for i := range 256 {
		n := int(bundle[0])<<8 | int(bundle[1])
		leaf := bundle[2 : 2+n]
		bundle = bundle[2+n:]
		if h := receipt.LeafHash(leaf); !bytes.Equal(h[:], tile[32*i:32*i+32]) {
			t.Fatalf("entry %d of the bundle is not the leaf of the tile", i)
		}
		if _, err := receipt.ParseLeaf(leaf); err != nil {
			t.Fatal(err)
		}
	}
	if len(bundle) != 0 {
		t.Errorf("%d bytes follow the bundle", len(bundle))
	}
	for _, bad := range []string{"0/0", "0/1000", "0/x001", "00/000", "0/000.p/256", "0/000.p/0", "0/001.p/200", "8/000", "0/x001/000", "entries/001", "0/000/", "-1/000", "0/x000/000"} {
		status, b, h := f.do("GET", "/log/tile/"+bad, "", "")
		if status == http.StatusMovedPermanently {
			continue
		}
		f.problem(status, b, h, 404, "NOT_FOUND")
	}
}

type tileReader struct{ f *fixture }

func (tileReader) Height() int                     { return ledger.TileHeight }
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		path := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", t.H))
		status, b, _ := r.f.do("GET", "/log/tile/"+path, "", "")
		if status != http.StatusOK {
			return nil, fmt.Errorf("%s: %d %s", path, status, b)
		}
		out = append(out, b)
	}
	return out, nil
}

// TestNumbersAreKept: two numbers that a float cannot tell apart are two calls.
func TestNumbersAreKept(t *testing.T) {
	f := newFixture(t, nil)
	a := f.decide(9007199254740992, `,"call_id":"c"`)
	status, b, _ := f.do("POST", "/v1/decisions", "", `{"agent":"a","session":"s","call_id":"c","tool":"pay.transfer","arguments":{"amount":9007199254740993,"to":"x"}}`)
	if status != http.StatusOK || !bytes.Contains(b, []byte("CALL_ID_REUSED")) {
		t.Errorf("after %s: %d %s", a.ID, status, b)
	}
}

// TestOpenAPI holds the document against the server: the same operations, and
// every answer is what the document says.
func TestOpenAPI(t *testing.T) {
	var doc schema
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	documented := map[string]schema{}
	for path, ops := range doc["paths"].(map[string]any) {
		for method, op := range ops.(map[string]any) {
			documented[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	for _, r := range routes {
		key := strings.Replace(r.pattern, "{path...}", "{path}", 1)
		if documented[key] == nil {
			t.Errorf("%s is not documented", key)
		}
	}
	if len(documented) != len(routes) {
		t.Errorf("%d operations are documented, the server has %d", len(documented), len(routes))
	}

	f := newFixture(t, nil)
	beside, err := policy.Compile("next.toml", []byte("[policy]\nid = \"next\"\nversion = 1\nformat = \"helm.policy/v1\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	f.kernel.Shadow(beside)
	driven := map[string]bool{}
	call := func(key, path, token, body string, want int) []byte {
		t.Helper()
		driven[key] = true
		method, _, _ := strings.Cut(key, " ")
		status, b, h := f.do(method, path, token, body)
		if status != want {
			t.Fatalf("%s: %d %s", path, status, b)
		}
		responses := documented[key]["responses"].(map[string]any)
		resp, ok := responses[fmt.Sprint(status)].(map[string]any)
		if !ok {
			t.Fatalf("%s: the status %d is not documented", key, status)
		}
		resp = doc.resolve(resp)
		media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
		content, ok := resp["content"].(map[string]any)[media].(map[string]any)
		if !ok {
			t.Fatalf("%s: the media type %q is not documented for %d", key, media, status)
		}
		if strings.HasSuffix(media, "json") {
			var v any
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			if err := doc.check(content["schema"].(map[string]any), v); err != nil {
				t.Errorf("%s: the answer %s: %v", key, b, err)
			}
		}
		if body != "" && status == http.StatusOK {
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Fatal(err)
			}
			s := documented[key]["requestBody"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
			if err := doc.check(s, v); err != nil {
				t.Errorf("%s: the request %s: %v", key, body, err)
			}
		}
		return b
	}
	decision := func(amount int) DecisionAnswer {
		var d DecisionAnswer
		b := call("POST /v1/decisions", "/v1/decisions", "", fmt.Sprintf(`{"agent":"a","session":"s","call_id":"c%d","tool":"pay.transfer","arguments":{"amount":%d,"to":"x"},"context":{"cwd":"/"}}`, amount, amount), 200)
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := decision(5)
	decision(5)
	asked, refused := decision(5000), decision(6000)
	call("POST /v1/decisions", "/v1/decisions", "", `{}`, 400)
	call("POST /v1/outcomes", "/v1/outcomes", "", fmt.Sprintf(`{"decision":%q,"status":"ok","duration_us":3,"result":[1]}`, d.ID), 200)
	call("POST /v1/outcomes", "/v1/outcomes", "", fmt.Sprintf(`{"decision":%q,"status":"error"}`, d.ID), 200)
	call("POST /v1/outcomes", "/v1/outcomes", "", `{"decision":"77","status":"ok"}`, 404)
	call("GET /v1/receipts", "/v1/receipts?limit=2", f.operator, "", 200)
	call("GET /v1/receipts", "/v1/receipts", "", "", 401)
	call("GET /v1/receipts/{id}", "/v1/receipts/"+d.ID, f.operator, "", 200)
	call("GET /v1/receipts/{id}", "/v1/receipts/77", f.operator, "", 404)
	call("GET /v1/approvals", "/v1/approvals", f.operator, "", 200)
	call("GET /v1/approvals/{id}", "/v1/approvals/"+asked.ID, f.operator, "", 200)
	call("POST /v1/approvals/{id}", "/v1/approvals/"+asked.ID, f.operator, `{"answer":"approve"}`, 200)
	call("POST /v1/approvals/{id}", "/v1/approvals/"+asked.ID, f.operator, `{"answer":"approve"}`, 409)
	call("POST /v1/approvals/{id}", "/v1/approvals/"+refused.ID, f.operator, `{"answer":"refuse"}`, 200)
	call("GET /v1/approvals", "/v1/approvals?all=true", f.operator, "", 200)
	sha := func(n int) string { return fmt.Sprintf("%064x", n) }
	list := func(n int) string {
		return fmt.Sprintf(`{"boundary":"mcp.pay","server":"pay","tools":[{"name":"transfer","sha256":%q}]}`, sha(n))
	}
	call("POST /v1/boundary/events", "/v1/boundary/events", "", `{"boundary":"mcp.pay","event":"start","covers":"calls of pay"}`, 200)
	call("POST /v1/boundary/events", "/v1/boundary/events", f.operator, `{"boundary":"hook.x","event":"check","covers":"it blocks"}`, 200)
	call("POST /v1/boundary/events", "/v1/boundary/events", "", `{"boundary":"http","event":"start","covers":""}`, 400)
	call("POST /v1/tools", "/v1/tools", "", list(1), 200)
	if b := call("POST /v1/tools", "/v1/tools", "", list(2), 200); !bytes.Contains(b, []byte(`"state":"changed"`)) {
		t.Errorf("%s", b)
	}
	call("POST /v1/tools", "/v1/tools", "", `{"boundary":"mcp.pay","server":"pay","tools":[{"name":"x","sha256":"ABC"}]}`, 400)
	call("GET /v1/tools/{server}", "/v1/tools/pay", f.operator, "", 200)
	call("GET /v1/tools/{server}", "/v1/tools/pay", "", "", 401)
	call("POST /v1/tools/{server}/accept", "/v1/tools/pay/accept", "", fmt.Sprintf(`{"name":"transfer","sha256":%q}`, sha(2)), 401)
	call("POST /v1/tools/{server}/accept", "/v1/tools/pay/accept", f.operator, fmt.Sprintf(`{"name":"transfer","sha256":%q}`, sha(3)), 409)
	call("POST /v1/tools/{server}/accept", "/v1/tools/pay/accept", f.operator, fmt.Sprintf(`{"name":"transfer","sha256":%q}`, sha(2)), 200)
	call("POST /v1/approvals/{id}/client", "/v1/approvals/"+asked.ID+"/client", "", `{"answer":"approve"}`, 409)
	gentle := decision(2_000_000)
	call("POST /v1/approvals/{id}/client", "/v1/approvals/"+gentle.ID+"/client", "", `{"answer":"approve"}`, 200)
	if gentle.Approval.Grade != receipt.GradeClient || asked.Approval.Grade != receipt.GradeOperator {
		t.Errorf("grades %s and %s", gentle.Approval.Grade, asked.Approval.Grade)
	}
	call("GET /v1/approvals/{id}", "/v1/approvals/"+gentle.ID, f.operator, "", 200)
	call("GET /v1/boundary", "/v1/boundary", f.operator, "", 200)
	call("POST /v1/boundary/freeze", "/v1/boundary/freeze", f.operator, `{"reason":"r"}`, 200)
	call("POST /v1/boundary/freeze", "/v1/boundary/freeze", f.operator, `{"reason":"r"}`, 409)
	call("GET /v1/boundary", "/v1/boundary", f.operator, "", 200)
	call("POST /v1/boundary/unfreeze", "/v1/boundary/unfreeze", f.operator, `{"reason":"r"}`, 200)
	call("POST /v1/sessions/close", "/v1/sessions/close", "", `{"agent":"a","session":"s"}`, 200)
	call("GET /v1/evidence", "/v1/evidence?agent=a", f.operator, "", 200)
	call("GET /v1/evidence", "/v1/evidence", f.operator, "", 400)
	call("POST /v1/policy/reload", "/v1/policy/reload", f.operator, "", 200)
	call("GET /log/checkpoint", "/log/checkpoint", "", "", 200)
	call("GET /log/tile/{path}", "/log/tile/0/000.p/1", "", "", 200)
	call("GET /log/tile/{path}", "/log/tile/nonsense", "", "", 404)
	call("GET /healthz", "/healthz", "", "", 200)
	call("GET /readyz", "/readyz", "", "", 200)
	call("GET /metrics", "/metrics", "", "", 200)
	call("GET /openapi.json", "/openapi.json", "", "", 200)
	for key := range documented {
		if !driven[key] {
			t.Errorf("%s was not driven", key)
		}
	}
}

// A schema is a JSON object of the document. check validates the part of JSON
// Schema that the document uses, and refuses any other keyword.
type schema map[string]any

func (doc schema) resolve(s map[string]any) map[string]any {
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	var at any = map[string]any(doc)
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(map[string]any)[part]
	}
	return at.(map[string]any)
}

func (doc schema) check(s map[string]any, v any) error {
	s = doc.resolve(s)
	if any, ok := s["anyOf"].([]any); ok {
		var errs []error
		for _, one := range any {
			err := doc.check(one.(map[string]interface{}), v)
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	for keyword, want := range s {
		var ok bool
		switch keyword {
		case "description", "required", "properties", "items", "format":
			ok = true
		case "type":
			got := map[bool]string{}[true]
			switch v := v.(type) {
			case nil:
				got = "null"
			case bool:
				got = "boolean"
			case string:
				got = "string"
			case float64:
				got = "number"
				if v == float64(int64(v)) {
					got = "integer"
				}
			case []any:
				got = "array"
			case map[string]any:
				got = "object"
			}
			ok = got == want
		case "enum":
			ok = slices.Contains(want.([]any), v)
		case "pattern":
			ok = regexp.MustCompile(want.(string)).MatchString(v.(string))
		case "minLength":
			ok = float64(len(v.(string))) >= want.(float64)
		case "maxLength":
			ok = float64(len(v.(string))) <= want.(float64)
		case "minimum":
			ok = v.(float64) >= want.(float64)
		case "maximum":
			ok = v.(float64) <= want.(float64)
		case "additionalProperties":
			ok = want == false
		default:
			return fmt.Errorf("the schema's keyword %s is not known here", keyword)
		}
		if !ok {
			return fmt.Errorf("%v is not of %s %v", v, keyword, want)
		}
	}
	if list, ok := v.([]any); ok && s["items"] != nil {
		for _, e := range list {
			if err := doc.check(s["items"].(map[string]any), e); err != nil {
				return err
			}
		}
	}
	object, ok := v.(map[string]any)
	properties, closed := s["properties"].(map[string]any)
	if !ok || !closed {
		return nil
	}
	for _, name := range s["required"].([]any) {
		if _, there := object[name.(string)]; !there {
			return fmt.Errorf("the member %s is missing", name)
		}
	}
	for name, value := range object {
		p, known := properties[name].(map[string]any)
		if !known {
			return fmt.Errorf("the member %s is not documented", name)
		}
		if err := doc.check(p, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// TestEventsAreLimited: who says more of boundaries than a pack can hold is refused; that the
// tools are as they were is no news, and may be said as often as sessions begin.
func TestEventsAreLimited(t *testing.T) {
	f := newFixture(t, nil)
	list := func(sha string, twice bool) int {
		tools := fmt.Sprintf(`{"name":"a","sha256":"%064s"}`, sha)
		if twice {
			tools += "," + tools
		}
		status, _, _ := f.do("POST", "/v1/tools", "", `{"boundary":"mcp.x","server":"x","tools":[`+tools+`]}`)
		return status
	}
	if got := list("1", false); got != 200 {
		t.Fatal(got)
	}
	size := f.kernel.Log().Size()
	for range 3 * eventBurst {
		if got := list("1", false); got != 200 {
			t.Fatalf("the same list: %d", got)
		}
	}
	if f.kernel.Log().Size() != size {
		t.Error("it made entries")
	}
	if got := list("1", true); got != 400 {
		t.Errorf("a tool that is listed twice: %d", got)
	}
	limited := 0
	for i := range 2 * eventBurst {
		switch got := list(fmt.Sprint(i%2+1), false); got {
		case 429:
			limited++
		case 200:
		default:
			t.Fatal(got)
		}
	}
	for range 3 * eventBurst {
		if status, _, _ := f.do("POST", "/v1/boundary/events", "", `{"boundary":"mcp.x","event":"start","covers":""}`); status == 429 {
			limited++
		}
	}
	if limited == 0 || f.kernel.Log().Size()-size > 2*eventBurst {
		t.Errorf("%d were refused, and the log has %d more entries", limited, f.kernel.Log().Size()-size)
	}
}
