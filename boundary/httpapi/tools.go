package httpapi

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// An EventRequest is the body of POST /v1/boundary/events: what a process that stands
// between an agent and this server says of itself.
type EventRequest struct {
	Boundary string `json:"boundary"` // such as mcp.files
	Event    string `json:"event"`    // start, stop or check
	Covers   string `json:"covers"`   // what it covers and what not, or what was found
}

func (s *Server) event(w http.ResponseWriter, r *http.Request, c caller) error {
	var req EventRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if err := checkBoundary(req.Boundary); err != nil {
		return err
	}
	if err := s.limitEvents(c); err != nil {
		return err
	}
	rec, err := s.Kernel.Boundary(r.Context(), c.principal, req.Boundary, req.Event, req.Covers)
	if err != nil {
		return err
	}
	return writeEntry(w, rec)
}

// checkBoundary refuses the names of boundaries that speak for themselves.
func checkBoundary(boundary string) error {
	if kind, _, ok := strings.Cut(boundary, "."); !ok || kind != "mcp" && kind != "hook" {
		return refuse(helm.BadRequest, "the boundary %.40q is not one of hook.NAME and mcp.NAME", boundary)
	}
	return nil
}

// listed reports whether a list says nothing that is not known.
func listed(known []kernel.PinnedTool, tools []receipt.Tool) bool {
	now := map[string]receipt.Hash{}
	for _, t := range tools {
		now[t.Name] = t.SHA256
	}
	for _, k := range known {
		sha, there := now[k.Name]
		if there == k.Gone || there && sha != k.Listed {
			return false
		}
		delete(now, k.Name)
	}
	return len(now) == 0 && len(known) > 0 && len(tools) <= len(known)
}

// A ListRequest is the body of POST /v1/tools: what a server of tools lists now, whole.
type ListRequest struct {
	Boundary string       `json:"boundary"`
	Server   string       `json:"server"`
	Tools    []ToolListed `json:"tools"`
}

// A ToolListed is a tool by the server's name for it, and the SHA-256 of its definition in hex.
type ToolListed struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// A ToolsAnswer is what is known of a server's tools.
type ToolsAnswer struct {
	Server string       `json:"server"`
	Tools  []ToolAnswer `json:"tools"`
}

// A ToolAnswer is a tool, in the state pinned, changed or vanished.
type ToolAnswer struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Pinned string `json:"pinned"` // what its calls must have
	Listed string `json:"listed"` // what was listed last
}

// The states of a tool.
const (
	ToolPinned   = "pinned"
	ToolChanged  = "changed" // its calls are denied
	ToolVanished = "vanished"
)

func (s *Server) listTools(w http.ResponseWriter, r *http.Request, c caller) error {
	var req ListRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if err := checkBoundary(req.Boundary); err != nil {
		return err
	}
	tools := make([]receipt.Tool, len(req.Tools))
	for i, t := range req.Tools {
		sha, err := readHash(t.SHA256)
		if err != nil {
			return err
		}
		tools[i] = receipt.Tool{Name: t.Name, SHA256: sha}
	}
	known, err := s.Kernel.Tools(r.Context(), req.Server)
	if err != nil {
		return err
	}
	if listed(known, tools) { // that a session begins with the same tools makes no entry, and is said as often as one begins
		return writeTools(w, req.Server, known)
	}
	if err := s.limitEvents(c); err != nil {
		return err
	}
	known, err = s.Kernel.List(r.Context(), c.principal, req.Boundary, req.Server, tools)
	if err != nil {
		return err
	}
	return writeTools(w, req.Server, known)
}

func readHash(text string) (h receipt.Hash, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != text {
		return h, refuse(helm.BadRequest, "sha256 is %.80q: it must be 64 hexadecimal digits, a to f in lower case", text)
	}
	return receipt.Hash(b), nil
}

func writeTools(w http.ResponseWriter, server string, known []kernel.PinnedTool) error {
	a := ToolsAnswer{Server: server}
	for _, t := range known {
		state := ToolPinned
		switch {
		case t.Gone:
			state = ToolVanished
		case t.Changed():
			state = ToolChanged
		}
		a.Tools = append(a.Tools, ToolAnswer{t.Name, state, hexID(t.Pinned), hexID(t.Listed)})
	}
	return writeJSON(w, http.StatusOK, a)
}

func (s *Server) tools(w http.ResponseWriter, r *http.Request, _ caller) error {
	known, err := s.Kernel.Tools(r.Context(), r.PathValue("server"))
	if err != nil {
		return err
	}
	return writeTools(w, r.PathValue("server"), known)
}

// An AcceptRequest is the body of POST /v1/tools/{server}/accept.
type AcceptRequest struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of the definition as it was listed last
}

func (s *Server) acceptTool(w http.ResponseWriter, r *http.Request, c caller) error {
	var req AcceptRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	sha, err := readHash(req.SHA256)
	if err != nil {
		return err
	}
	rec, err := s.Kernel.Accept(r.Context(), c.principal, s.Boundary, r.PathValue("server"), req.Name, sha)
	if err != nil {
		return err
	}
	return writeEntry(w, rec)
}
