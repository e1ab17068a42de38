package mcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// listFor is how long the server has to list its tools to the relay, and the kernel to be
// told of them.
const listFor = 10 * time.Second

// maxPages bounds a list, and the lists that a client began and did not end.
const maxPages = 256

// NotListed stands for the definition of a tool that its server does not list, or lists no
// more: it is that of no pinned tool.
const NotListed = "none"

// tools are what is known of a server's tools.
type tools struct {
	changes     uint64            // how often the server said that its list changed
	fresh       bool              // it said so never since it listed them
	definitions map[string]string // by full, escaped name: SHA-256 in hex
	chains      map[string][]jsontext.Value
}

func (t *tools) stale() { t.changes, t.fresh = t.changes+1, false }

// A page is one tools/list.
type page struct {
	cursor  string
	first   bool
	changes uint64
}

func (r *Relay) pageOf(params jsontext.Value) *page {
	p := &page{first: true}
	if params != nil {
		members(params, lenient, func(name string, v jsontext.Value) (err error) {
			if name == "cursor" {
				p.first = false
				p.cursor, err = text(name, v)
			}
			return err
		})
	}
	r.mu.Lock()
	p.changes = r.tools.changes
	r.mu.Unlock()
	return p
}

// listed takes a page that the server listed. With the last one the list is whole, and the
// kernel is told. It returns the next page's cursor.
func (r *Relay) listed(ctx context.Context, p *page, result jsontext.Value) (next *string, err error) {
	var list []jsontext.Value
	err = members(result, lenient, func(name string, v jsontext.Value) error {
		switch name {
		case "tools":
			list, err = elements(v)
		case "nextCursor":
			if v.Kind() != 'n' {
				var s string
				s, err = text(name, v)
				next = &s
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the list cannot be read: %w", err)
	}
	r.mu.Lock()
	t := &r.tools
	known := p.first
	if !p.first {
		var before []jsontext.Value
		before, known = t.chains[p.cursor]
		list = append(slices.Clip(before), list...)
	}
	if known && next != nil {
		if t.chains == nil || len(t.chains) >= maxPages {
			t.chains = map[string][]jsontext.Value{}
		}
		t.chains[*next] = list
	}
	r.mu.Unlock()
	if !known || next != nil {
		return next, nil // it is a part
	}
	definitions, err := r.define(list)
	if err != nil {
		return nil, err
	}
	return nil, r.pin(ctx, p.changes, definitions)
}

// elements are those of an array.
func elements(v jsontext.Value) ([]jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(v), lenient...)
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, errors.New("the tools are no array")
	}
	var out []jsontext.Value
	for dec.PeekKind() != ']' {
		e, err := dec.ReadValue()
		if err != nil {
			return nil, plain(err)
		}
		out = append(out, e.Clone())
	}
	return out, nil
}

// define returns the hash of each tool's definition: the tool as it was listed, with its
// members in order and no blanks, its numbers as they are written. Where a name is listed
// more than once, it is that of all its definitions.
func (r *Relay) define(list []jsontext.Value) (map[string]string, error) {
	all := map[string][]byte{}
	for i, tool := range list {
		name, definition, err := Definition(tool)
		if err != nil {
			return nil, fmt.Errorf("tool %d: %w", i+1, err)
		}
		full := r.full(name)
		if all[full] != nil {
			definition = append(append(all[full], '\n'), definition...)
		}
		all[full] = definition
	}
	out := map[string]string{}
	for name, definition := range all {
		out[name] = fmt.Sprintf("%x", sha256.Sum256(definition))
	}
	return out, nil
}

// Definition is a listed tool's name, and the bytes that its definition's hash is of.
func Definition(tool jsontext.Value) (name string, canonical []byte, err error) {
	if err := members(tool, lenient, func(member string, v jsontext.Value) (err error) {
		if member == "name" {
			name, err = text(member, v)
		}
		return err
	}); err != nil {
		return "", nil, err
	}
	if name == "" {
		return "", nil, errors.New("it has no name")
	}
	canonical, err = jsontext.AppendFormat(nil, tool, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.ReorderRawObjects(true),
		jsontext.PreserveRawStrings(false), jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false))
	return name, canonical, err
}

// full is a tool's name in calls: SERVER.TOOL.
func (r *Relay) full(tool string) string { return helm.Name(r.Name + "." + tool) }

// pin tells the kernel what the server lists, unless it is what it was told last.
func (r *Relay) pin(ctx context.Context, changes uint64, definitions map[string]string) error {
	r.told.Lock()
	defer r.told.Unlock()
	if r.told.definitions == nil || !maps.Equal(definitions, r.told.definitions) {
		list := make([]Tool, 0, len(definitions))
		for _, name := range slices.Sorted(maps.Keys(definitions)) {
			list = append(list, Tool{strings.TrimPrefix(name, r.Name+"."), definitions[name]})
		}
		if err := r.tellTools(ctx, list); err != nil {
			r.told.definitions = nil
			r.mu.Lock()
			r.tools.definitions, r.tools.fresh = nil, false
			r.mu.Unlock()
			return err
		}
		r.told.definitions = definitions
	}
	r.mu.Lock()
	r.tools.definitions, r.tools.fresh = definitions, changes == r.tools.changes
	r.mu.Unlock()
	return nil
}

// told is the list of a server that the kernel was told last, by this relay or by another of
// the same gateway. It is locked while the kernel is told.
type told struct {
	sync.Mutex
	definitions map[string]string // nil: none, or it is not known whether the kernel took it
}

// tellTools tells the kernel what the server lists, and waits while the kernel has no time.
func (r *Relay) tellTools(ctx context.Context, list []Tool) error {
	ctx, stop := context.WithTimeout(ctx, listFor)
	defer stop()
	for {
		err := r.Kernel.List(ctx, r.Name, list)
		if busy := (*BusyError)(nil); !errors.As(err, &busy) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(600 * time.Millisecond):
		}
	}
}

// definition is the hash of a tool's definition as its server lists it. The server is asked
// where it has not listed its tools since they changed.
func (r *Relay) definition(ctx context.Context, tool string, about client) (string, error) {
	if sha, ok := r.defined(tool); ok {
		return sha, nil
	}
	r.listing.Lock()
	defer r.listing.Unlock()
	if sha, ok := r.defined(tool); ok {
		return sha, nil
	}
	ctx, stop := context.WithTimeout(ctx, listFor)
	defer stop()
	var cursor *string
	for range maxPages {
		params := map[string]any{}
		if about.meta != nil {
			params["_meta"] = about.meta
		}
		p := r.pageOf(nil)
		if cursor != nil {
			params["cursor"], p.cursor, p.first = *cursor, *cursor, false
		}
		m, err := r.own(ctx, r.server, r.atServer, "tools/list", params)
		if err != nil {
			return "", fmt.Errorf("the MCP server did not list its tools: %w", err)
		}
		if m.result == nil { // it lists none
			return NotListed, nil
		}
		if cursor, err = r.listed(ctx, p, m.result); err != nil {
			return "", err
		}
		if cursor == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.tools.of(r.full(tool)), nil
		}
	}
	return "", fmt.Errorf("the MCP server's list of tools has more than %d pages", maxPages)
}

func (r *Relay) defined(tool string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tools.of(r.full(tool)), r.tools.fresh
}

func (t *tools) of(full string) string {
	if sha, ok := t.definitions[full]; ok {
		return sha
	}
	return NotListed
}
