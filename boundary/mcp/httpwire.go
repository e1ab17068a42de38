package mcp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An httpWire reaches a server over Streamable HTTP. Each message is posted; what comes back,
// as JSON or as events, and what the server says of its own accord, is read in the order that it
// comes in. A stream that breaks is not taken up again: the requests that it was to answer are
// answered with an error.
type httpWire struct {
	url    string
	header http.Header
	client *http.Client
	ctx    context.Context // until the session ended
	stop   context.CancelFunc
	listen context.Context // until it is to end: what the server says of its own accord is not waited for
	mute   context.CancelFunc
	out    chan []byte
	posts  sync.WaitGroup // that are under way
	once   sync.Once

	mu      sync.Mutex
	session string // Mcp-Session-Id
	version string // of the protocol, once it is agreed
	closing bool
}

func newHTTPWire(url string, header http.Header) *httpWire {
	h := &httpWire{url: url, header: header, out: make(chan []byte, 16), client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // headers go where they were meant to go
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.listen, h.mute = context.WithCancel(h.ctx)
	return h
}

func (h *httpWire) Read() ([]byte, error) {
	select {
	case m := <-h.out:
		return m, nil
	default:
	}
	select {
	case m := <-h.out:
		return m, nil
	case <-h.ctx.Done():
		return nil, io.EOF
	}
}

func (h *httpWire) Write(raw []byte) error {
	m, err := readMessage(raw, true)
	if err != nil {
		return err
	}
	h.mu.Lock()
	closing := h.closing
	if !closing && m.rawID != nil && m.method != "" && m.method != "initialize" {
		h.posts.Go(func() { h.post(m) })
	}
	h.mu.Unlock()
	switch {
	case closing:
		return io.ErrClosedPipe
	case m.rawID == nil || m.method == "" || m.method == "initialize": // these in the order that they are written
		h.post(m)
	}
	return nil
}

// Close waits for the answers to what was posted, as long as a server that was started may
// take to end, and ends the session.
func (h *httpWire) Close() error {
	h.once.Do(func() {
		h.mu.Lock()
		h.closing = true
		h.mu.Unlock()
		h.mute()
		go func() {
			done := make(chan struct{})
			go func() {
				h.posts.Wait()
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(endFor):
			}
			if h.session != "" {
				ctx, stop := context.WithTimeout(h.ctx, endFor)
				defer stop()
				if resp, err := h.send(ctx, http.MethodDelete, nil, nil); err == nil {
					resp.Body.Close()
				}
			}
			h.stop()
		}()
	})
	return nil
}

func (h *httpWire) send(ctx context.Context, method string, m *message, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.url, body)
	if err != nil {
		return nil, err
	}
	for k, v := range h.header {
		req.Header[k] = v
	}
	h.mu.Lock()
	if h.session != "" {
		req.Header.Set("Mcp-Session-Id", h.session)
	}
	if h.version != "" {
		req.Header.Set("Mcp-Protocol-Version", h.version)
	}
	h.mu.Unlock()
	req.Header.Set("Accept", "text/event-stream")
	if m != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		h.describe(req.Header, m)
	}
	return h.client.Do(req)
}

// describe sets the headers by which revision 2026-07-28 repeats what a message says.
func (h *httpWire) describe(header http.Header, m *message) {
	var version, name string
	if m.params != nil {
		members(m.params, strict, func(member string, v jsontext.Value) error {
			switch {
			case member == "_meta":
				return members(v, strict, func(member string, v jsontext.Value) error {
					if member == mcp.MetaKeyProtocolVersion {
						version, _ = text(member, v)
					}
					return nil
				})
			case member == "name" && (m.method == "tools/call" || m.method == "prompts/get"), member == "uri" && m.method == "resources/read":
				name, _ = text(member, v)
			}
			return nil
		})
	}
	if version < stateless {
		return
	}
	header.Set("Mcp-Protocol-Version", version)
	if m.method != "" {
		header.Set("Mcp-Method", m.method)
	}
	if name != "" {
		header.Set("Mcp-Name", name)
	}
}

// post posts a message, and reads what comes back. A request is answered in any case.
func (h *httpWire) post(m *message) {
	answered, err := h.exchange(m)
	if m.method == "" || m.rawID == nil || answered {
		return
	}
	why := "the MCP server's answer broke off"
	if err != nil {
		why = "the MCP server cannot be reached: " + err.Error()
	}
	b, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(why, "?"))
	h.said(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":%s}}`, m.rawID, b))
}

func (h *httpWire) exchange(m *message) (answered bool, err error) {
	resp, err := h.send(h.ctx, http.MethodPost, m, bytes.NewReader(m.raw))
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	each := func(raw []byte) {
		got, err := readMessage(raw, false)
		if err == nil && got.method == "" && got.id == m.id {
			answered = true
			if m.method == "initialize" && got.result != nil {
				h.agreed(resp.Header.Get("Mcp-Session-Id"), got.result)
			}
		}
		h.said(raw)
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch {
	case kind == "text/event-stream" && resp.StatusCode == http.StatusOK:
		return answered, events(resp.Body, each)
	case kind == "application/json":
		b, err := io.ReadAll(io.LimitReader(resp.Body, MaxMessage+1))
		if err == nil && len(b) > MaxMessage {
			err = fmt.Errorf("its answer has more than %d bytes", MaxMessage)
		}
		if err == nil && len(bytes.TrimSpace(b)) > 0 {
			each(bytes.TrimSpace(b))
		}
		return answered, err
	case resp.StatusCode >= 300:
		return false, fmt.Errorf("it answered %s", resp.Status)
	}
	if m.method == "notifications/initialized" {
		go h.hear()
	}
	return false, nil
}

// agreed takes what initialize agreed on.
func (h *httpWire) agreed(session string, result jsontext.Value) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = session
	members(result, lenient, func(name string, v jsontext.Value) error {
		if name == "protocolVersion" {
			h.version, _ = text(name, v)
		}
		return nil
	})
}

// hear reads what the server says of its own accord, where it does.
func (h *httpWire) hear() {
	for h.listen.Err() == nil {
		resp, err := h.send(h.listen, http.MethodGet, nil, nil)
		if err == nil {
			ok := resp.StatusCode == http.StatusOK
			if ok {
				events(resp.Body, h.said)
			}
			resp.Body.Close()
			if !ok {
				return
			}
		}
		select {
		case <-h.listen.Done():
		case <-time.After(time.Second):
		}
	}
}

func (h *httpWire) said(raw []byte) {
	select {
	case h.out <- raw:
	case <-h.ctx.Done():
	}
}

// events calls f for each message of an event stream (HTML, section 9.2: Server-sent events).
func events(r io.Reader, f func([]byte)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	var data []byte
	for {
		var line []byte
		for {
			part, err := lines.ReadSlice('\n')
			line = append(line, part...)
			if len(line)+len(data) > MaxMessage {
				return fmt.Errorf("a message has more than %d bytes", MaxMessage)
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			break
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if len(bytes.TrimSpace(data)) > 0 {
				f(bytes.TrimSpace(data))
			}
			data = nil
			continue
		}
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(append(data, bytes.TrimPrefix(rest, []byte(" "))...), '\n')
		}
	}
}
