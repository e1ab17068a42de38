package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
)

// A client asks a server.
type client struct {
	base    *url.URL
	token   string
	noToken string // why none is sent
	http    *http.Client
}

// A problemError is a problem document that a server answered with.
type problemError struct {
	httpapi.Problem
	hint string
}

func (e *problemError) Error() string { return string(e.Code) + ": " + e.Detail + e.hint }

// client is a client of --server, or of the server that this home's server.json names.
// A large pack takes minutes before its first byte. With auth it sends the token of
// --token-file or, to the loopback address that this home's server.json names and
// nowhere else, the operator's.
func (a *app) client(auth bool) (*client, error) {
	h := &home{dir: a.home}
	own, ownErr := h.readServer()
	if a.server == "" {
		switch {
		case ownErr == nil:
			a.server = own.Address
		case errors.Is(ownErr, os.ErrNotExist):
			a.server = "http://" + defaultListen
		default:
			return nil, usagef("%s does not name a server: %w. Give one with --server", h.serverFile(), ownErr)
		}
	}
	base, err := address(a.server)
	if err != nil {
		return nil, err
	}
	c := newClient(base)
	switch {
	case a.token != "":
		c.token, err = readToken(a.token)
		return c, err
	case !auth:
		c.noToken = "this command sends none of its own accord"
		return c, nil
	case ownErr != nil:
		c.noToken = fmt.Sprintf("%s goes only to the server that %s names, and there is no such file: this home has no server that runs", h.operatorToken(), h.serverFile())
		return c, nil
	}
	named, err := address(own.Address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.serverFile(), err)
	}
	switch {
	case !sameServer(base, named):
		c.noToken = fmt.Sprintf("%s goes only to %s, which %s names", h.operatorToken(), own.Address, h.serverFile())
	case !loopback(named.Hostname()):
		c.noToken = fmt.Sprintf("%s goes only to a loopback address, and %s is none", h.operatorToken(), own.Address)
	default:
		c.base = named // localhost may be another address than the server's, and somebody else's
		c.token, err = readToken(h.operatorToken())
	}
	return c, err
}

func newClient(base *url.URL) *client {
	return &client{base: base, http: &http.Client{Transport: &http.Transport{
		DialContext: dial(base), MaxIdleConnsPerHost: 256, ResponseHeaderTimeout: 15 * time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // who answers is who was asked
}

func address(server string) (*url.URL, error) {
	if path, ok := strings.CutPrefix(server, unixScheme); ok && path != "" {
		return unixURL(path), nil
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("the server %q is not an address such as http://%s or unix:PATH", server, defaultListen)
	}
	return u, nil
}

// sameServer reports whether the address that was asked for is the one that a
// server.json names. localhost is any loopback address.
func sameServer(asked, named *url.URL) bool {
	if asked.Fragment != "" || named.Fragment != "" {
		return *asked == *named
	}
	host := asked.Hostname() == named.Hostname() || asked.Hostname() == "localhost" && loopback(named.Hostname())
	return host && asked.Scheme == named.Scheme && asked.Port() == named.Port() && strings.Trim(asked.Path, "/") == strings.Trim(named.Path, "/") &&
		asked.User == nil && asked.RawQuery == ""
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// String is the server's address, as a person would give it.
func (c *client) String() string {
	if c.base.Fragment != "" {
		return unixScheme + c.base.Fragment
	}
	return c.base.String()
}

// send sends a request; a nil body is none. Its answer is to be closed.
func (c *client) send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	u := *c.base
	u.Fragment = ""
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &exitError{exitNoServer, fmt.Errorf("no server answers at %s: %w. Start one with `helm-ai-kernel serve --policy FILE`", c, cause(err))}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	p := new(problemError)
	if json.Unmarshal(b, &p.Problem) != nil || p.Code == "" {
		return nil, fmt.Errorf("%s answered %s: it is not a helm-ai-kernel server. Name one with --server", c, resp.Status)
	}
	if p.Status == http.StatusUnauthorized && c.token == "" {
		p.hint = ". No token was sent: " + c.noToken + ". Give one with --token-file"
	}
	return nil, p
}

// cause is what lies below a url.Error, which repeats the address, in plain words where
// it is one of the usual.
func cause(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	dns, header := (*net.DNSError)(nil), tls.RecordHeaderError{}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return errors.New("nothing listens there")
	case errors.As(err, &dns):
		return fmt.Errorf("there is no address of the name %s", dns.Name)
	case errors.As(err, &header) || errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("it speaks http, not https")
	}
	return err
}

// maxAnswer is more than a server answers to anything but a pack, which is not read by ask.
const maxAnswer = 256 << 20

// ask sends a request and reads the answer into out.
func (c *client) ask(ctx context.Context, method, path string, query url.Values, body, out any) error {
	resp, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%s answered %s with more than %d bytes", c, path, maxAnswer)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s answered %s with what this program cannot read: %w. Is it a helm-ai-kernel server, and of this version?", c, path, httpapi.Misread(err))
	}
	return nil
}
