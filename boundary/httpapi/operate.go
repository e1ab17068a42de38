package httpapi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func hexID(h receipt.Hash) string { return hex.EncodeToString(h[:]) }

type reasonRequest struct {
	Reason string `json:"reason"`
}

func (s *Server) freeze(w http.ResponseWriter, r *http.Request, c caller) error {
	var req reasonRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	rec, err := s.Kernel.Freeze(r.Context(), c.principal, s.Boundary, req.Reason)
	if err != nil {
		return err
	}
	return writeEntry(w, rec)
}

func (s *Server) unfreeze(w http.ResponseWriter, r *http.Request, c caller) error {
	var req reasonRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	rec, err := s.Kernel.Unfreeze(r.Context(), c.principal, s.Boundary, req.Reason)
	if err != nil {
		return err
	}
	return writeEntry(w, rec)
}

func (s *Server) reload(w http.ResponseWriter, _ *http.Request, _ caller) error {
	if s.Reload == nil {
		return refuse(helm.NotFound, "this server has no policy file to reload")
	}
	said, err := s.Reload()
	if err != nil {
		return refuse(helm.Conflict, "the policy was not reloaded, the old one stays active: %w", err)
	}
	return writeJSON(w, http.StatusOK, map[string]string{"said": said})
}

// evidence streams a pack. What goes wrong after the first byte breaks the
// connection, so that a part is never taken for the whole.
func (s *Server) evidence(w http.ResponseWriter, r *http.Request, _ caller) error {
	q, err := query(r, "agent", "session", "all", "since", "until", "at", "stream_key", "consistency_from")
	if err != nil {
		return err
	}
	x := kernel.Export{Query: receipt.Query{All: q["all"] == "true", Agent: q["agent"], Session: q["session"]}}
	x.NoStreamKey = q["stream_key"] == "false"
	for name, to := range map[string]*time.Time{"since": &x.Query.Since, "until": &x.Query.Until} {
		if q[name] != "" {
			if *to, err = receipt.ParseTime(q[name]); err != nil {
				return refuse(helm.BadRequest, "%s: %w", name, err)
			}
		}
	}
	for name, to := range map[string]*uint64{"at": &x.At, "consistency_from": &x.ConsistencyFrom} {
		if q[name] != "" {
			if *to, err = strconv.ParseUint(q[name], 10, 53); err != nil {
				return refuse(helm.BadRequest, "%s: %w", name, err)
			}
		}
	}
	out := &started{w: w}
	err = s.Kernel.Export(r.Context(), out, x)
	if err != nil && out.began {
		panic(http.ErrAbortHandler)
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return refuse(helm.NotFound, "%w", err)
	}
	return err
}

// started notes that an answer has begun, and gives each write its own time.
type started struct {
	w     http.ResponseWriter
	began bool
}

func (s *started) Write(b []byte) (int, error) {
	if !s.began {
		s.began = true
		s.w.Header().Set("Content-Type", "application/x-tar")
		s.w.Header().Set("Content-Disposition", `attachment; filename="evidence-pack.tar"`)
	}
	http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(time.Minute))
	return s.w.Write(b)
}

// A Process is what the process knows of itself.
type Process struct {
	Version      string      `json:"version"`
	PID          int         `json:"pid"`
	Started      string      `json:"started"`
	Store        string      `json:"store"`
	Home         string      `json:"home"`
	Listeners    []Listener  `json:"listeners"`
	PolicyFile   string      `json:"policy_file,omitzero"`
	PolicySHA256 string      `json:"policy_sha256,omitzero"` // of the file as it was last taken; another process may have activated another since
	PolicyError  string      `json:"policy_error,omitzero"`  // why the file was not taken at the last reload
	ShadowFile   string      `json:"shadow_policy_file,omitzero"`
	ShadowError  string      `json:"shadow_policy_error,omitzero"`
	Announcing   *Announcing `json:"announcing,omitzero"` // absent: nobody is told of approvals
}

// Announcing says who is told of approvals, and what became of that since the start.
type Announcing struct {
	Webhook   bool   `json:"webhook"`
	Command   bool   `json:"command"`
	Delivered uint64 `json:"delivered"`
	Failed    uint64 `json:"failed"`  // attempts
	Expired   uint64 `json:"expired"` // that nobody was told of in time
	Waiting   int    `json:"waiting"` // approvals that are not announced yet
	LastError string `json:"last_error,omitzero"`
}

// A Listener is a way in, and what it covers.
type Listener struct {
	Boundary  string `json:"boundary"`
	Address   string `json:"address"`
	Covers    string `json:"covers"`
	Anonymous bool   `json:"anonymous"` // agents without a token are let in
}

// A BoundaryAnswer is the answer to GET /v1/boundary: what is so.
type BoundaryAnswer struct {
	State         string           `json:"status"` // up, frozen, degraded or stopped
	kernel.Status                  // inlined
	Process       Process          `json:"process"`
	Boundaries    []StandingAnswer `json:"boundaries"` // the newest first
}

// A StandingAnswer is what was said last of a boundary, by whom and where in the log.
type StandingAnswer struct {
	Boundary  string `json:"boundary"`
	Event     string `json:"event"`
	Covers    string `json:"covers"`
	Principal string `json:"principal"`
	Index     uint64 `json:"index"`
	Time      string `json:"time"`
}

func (s *Server) boundary(w http.ResponseWriter, r *http.Request, _ caller) error {
	st, err := s.Kernel.Status(r.Context())
	if err != nil {
		return err
	}
	p, err := s.Config.Status()
	if err != nil {
		return err
	}
	a := BoundaryAnswer{State: "up", Status: *st, Process: p}
	standings, err := s.Kernel.Standings(r.Context())
	if err != nil {
		return err
	}
	for _, b := range standings {
		a.Boundaries = append(a.Boundaries, StandingAnswer{b.Boundary, b.Event, b.Covers, b.Principal, b.Index, receipt.FormatTime(b.Time)})
	}
	switch {
	case st.Error != "":
		a.State = "stopped"
	case st.Degraded != "":
		a.State = "degraded"
	case st.Frozen != nil:
		a.State = "frozen"
	}
	return writeJSON(w, http.StatusOK, a)
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request, _ caller) error {
	return writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
}

// readyz answers whether a decision could be allowed now.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request, _ caller) error {
	if err := s.Kernel.Log().Err(); err != nil {
		return refuse(helm.KernelStopped, "%w", err)
	}
	if err := s.Kernel.Log().Degraded(); err != nil {
		return refuse(helm.KernelStopped, "%w", err)
	}
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request, _ caller) error {
	if s.Metrics == nil {
		return refuse(helm.NotFound, "this server has no metrics")
	}
	s.Metrics.ServeHTTP(w, r)
	return nil
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request, _ caller) error {
	w.Header().Set("Content-Type", "application/json")
	w.Write(openAPI)
	return nil
}

func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request, _ caller) error {
	return s.Kernel.Log().View(r.Context(), func(v *ledger.View) error {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		_, err := w.Write([]byte(v.Checkpoint()))
		return err
	})
}

// tile answers C2SP tlog-tiles: LEVEL/N[.p/W], and entries/N[.p/W], whose entries
// are the leaves.
func (s *Server) tile(w http.ResponseWriter, r *http.Request, _ caller) error {
	t, err := parseTilePath(r.PathValue("path"))
	if err != nil {
		return refuse(helm.NotFound, "%w", err)
	}
	return s.Kernel.Log().View(r.Context(), func(v *ledger.View) error {
		var b []byte
		var err error
		if t.entries {
			b, err = v.EntryBundle(t.number, t.width)
		} else {
			b, err = v.Tile(t.level, t.number, t.width)
		}
		if err != nil {
			return refuse(helm.NotFound, "%w", err)
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "max-age=604800, immutable")
		_, err = w.Write(b)
		return err
	})
}

// A tilePath is what a path below /log/tile/ asks for.
type tilePath struct {
	entries bool // a bundle of leaves, rather than hashes
	level   int
	number  uint64
	width   int
}

// parseTilePath reads L/N[.p/W] and entries/N[.p/W] in their one spelling.
func parseTilePath(path string) (t tilePath, err error) {
	level, rest, _ := strings.Cut(path, "/")
	if t.entries = level == "entries"; !t.entries {
		if t.level, err = strconv.Atoi(level); err != nil {
			return t, fmt.Errorf("%.100q is not a tile", path)
		}
	}
	t.width = 1 << ledger.TileHeight
	number, width, partial := strings.Cut(rest, ".p/")
	if partial {
		if t.width, err = strconv.Atoi(width); err != nil || t.width >= 1<<ledger.TileHeight {
			return t, fmt.Errorf("%.100q is not a tile: a partial one has 1 to 255 hashes", path)
		}
	}
	for _, part := range strings.Split(number, "/") {
		n, err := strconv.ParseUint(strings.TrimPrefix(part, "x"), 10, 10)
		if err != nil || t.number > 1<<40 {
			return t, fmt.Errorf("%.100q is not a tile", path)
		}
		t.number = t.number*1000 + n
	}
	if t.String() != path || t.width < 1 || t.level > 7 {
		return t, fmt.Errorf("%.100q is not a tile", path)
	}
	return t, nil
}

// String is the path in its one spelling.
func (t tilePath) String() string {
	s := fmt.Sprintf("%03d", t.number%1000)
	for n := t.number / 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	if t.entries {
		s = "entries/" + s
	} else {
		s = fmt.Sprintf("%d/%s", t.level, s)
	}
	if t.width < 1<<ledger.TileHeight {
		s += fmt.Sprintf(".p/%d", t.width)
	}
	return s
}

// query reads the request's parameters: each at most once, none unknown.
func query(r *http.Request, names ...string) (map[string]string, error) {
	q := map[string]string{}
	for name, values := range r.URL.Query() {
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if !known {
			return nil, refuse(helm.BadRequest, "there is no parameter %.50q: there are %s", name, strings.Join(names, ", "))
		}
		if len(values) > 1 {
			return nil, refuse(helm.BadRequest, "the parameter %s is given twice", name)
		}
		q[name] = values[0]
	}
	for _, flag := range []string{"all", "follow", "stream_key"} {
		if v, ok := q[flag]; ok && v != "true" && v != "false" {
			return nil, refuse(helm.BadRequest, "%s is %.20q: it must be true or false", flag, v)
		}
	}
	return q, nil
}
