package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Paging of receipts.
const (
	defaultPage = 100
	maxPage     = 1000
	streamChunk = 256 // entries that are sent together

)

// A ReceiptLine is an entry in a list: the statement is the signed bytes.
type ReceiptLine struct {
	Index     uint64         `json:"index"`
	ID        string         `json:"id"`
	Kind      receipt.Kind   `json:"kind"`
	Statement jsontext.Value `json:"statement"`
}

// A ReceiptList is the answer to GET /v1/receipts without follow.
type ReceiptList struct {
	Receipts []ReceiptLine `json:"receipts"`
	Size     uint64        `json:"size"`          // of the log
	Next     *uint64       `json:"next,omitzero"` // give it as after to go on; absent: this is the end
}

// A filter says which entries are asked for.
type filter struct {
	agent, session string
	kind           receipt.Kind
	verdict        helm.Verdict
}

var kinds = []receipt.Kind{receipt.KindGenesis, receipt.KindPolicy, receipt.KindSession, receipt.KindDecision, receipt.KindOutcome,
	receipt.KindApproval, receipt.KindBoundary, receipt.KindFreeze, receipt.KindUnfreeze, receipt.KindKey}

func (s *Server) listReceipts(w http.ResponseWriter, r *http.Request, _ caller) error {
	q, err := query(r, "agent", "session", "kind", "verdict", "after", "last", "limit", "follow")
	if err != nil {
		return err
	}
	f := filter{q["agent"], q["session"], receipt.Kind(q["kind"]), helm.Verdict(q["verdict"])}
	if f.session != "" && f.agent == "" {
		return refuse(helm.BadRequest, "a session is named with its agent")
	}
	if f.kind != "" && !slices.Contains(kinds, f.kind) {
		return refuse(helm.BadRequest, "the kind %.20q is none of %v", q["kind"], kinds)
	}
	if f.verdict != "" && !f.verdict.Valid() {
		return refuse(helm.BadRequest, "the verdict %.20q is not ALLOW, DENY or ESCALATE", q["verdict"])
	}
	limit := defaultPage
	if q["limit"] != "" {
		if limit, err = strconv.Atoi(q["limit"]); err != nil || limit < 1 || limit > maxPage {
			return refuse(helm.BadRequest, "the limit %.20q is not a number from 1 to %d", q["limit"], maxPage)
		}
	}
	from, err := s.start(r.Context(), f, q)
	if err != nil {
		return err
	}
	if q["follow"] == "true" {
		return s.follow(w, r, f, from)
	}
	list := ReceiptList{Receipts: []ReceiptLine{}}
	err = s.Kernel.Log().View(r.Context(), func(v *ledger.View) error {
		list.Size = v.Size()
		next, err := s.scan(v, f, from, limit, func(l ReceiptLine) error {
			list.Receipts = append(list.Receipts, l)
			return nil
		})
		if err == nil && next < v.Size() {
			next-- // after is exclusive
			list.Next = &next
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, list)
}

// start is the index that a list begins at: behind after, or so that the last N
// match.
func (s *Server) start(ctx context.Context, f filter, q map[string]string) (from uint64, err error) {
	if q["after"] != "" {
		if q["last"] != "" {
			return 0, refuse(helm.BadRequest, "after and last exclude one another")
		}
		after, err := strconv.ParseUint(q["after"], 10, 53)
		if err != nil {
			return 0, refuse(helm.BadRequest, "after is %.20q: it must be an index", q["after"])
		}
		return after + 1, nil
	}
	if q["last"] == "" {
		return 0, nil
	}
	last, err := strconv.ParseUint(q["last"], 10, 53)
	if err != nil {
		return 0, refuse(helm.BadRequest, "last is %.20q: it must be a number", q["last"])
	}
	err = s.Kernel.Log().View(ctx, func(v *ledger.View) error {
		id, one := s.stream(f)
		if !one {
			from = v.Size() - min(v.Size(), last)
			return nil
		}
		seq, _, err := v.StreamHead(id)
		if err != nil {
			return err
		}
		from = v.Size()
		if last > 0 {
			for from, err = range v.StreamEntries(id, seq-min(seq, last)+1) {
				break
			}
		}
		return err
	})
	return from, err
}

// stream is the one stream that a filter is about.
func (s *Server) stream(f filter) (id receipt.Hash, one bool) {
	k := s.Kernel.Log().StreamKey()
	switch {
	case f.session != "":
		return k.Session(f.agent, f.session), true
	case f.agent != "":
		return k.Agent(f.agent), true
	}
	return id, false
}

// scan gives the matching entries from an index on, at most limit of them, and the
// index that it has come to: all before it were looked at. It looks at MaxLook entries
// at most, so that a filter that matches few keeps no snapshot of a large log open.
func (s *Server) scan(v *ledger.View, f filter, from uint64, limit int, give func(ReceiptLine) error) (uint64, error) {
	id, one := s.stream(f)
	n, looked := 0, 0
	// look returns whether to go on.
	look := func(e *ledger.Entry) (bool, error) {
		st, err := receipt.ParseStatement(e.Statement)
		if err != nil {
			return false, err
		}
		looked++
		if !f.matches(st) {
			return looked < s.MaxLook, nil
		}
		n++
		return n < limit && looked < s.MaxLook, give(ReceiptLine{e.Index, hexID(e.Leaf), st.Body.Kind(), e.Statement})
	}
	if !one {
		for e, err := range v.Entries(from, v.Size()) {
			if err != nil {
				return 0, err
			}
			if more, err := look(e); err != nil || !more {
				return e.Index + 1, err
			}
		}
		return max(from, v.Size()), nil
	}
	seq, err := v.StreamFrom(id, from)
	if err != nil {
		return 0, err
	}
	for index, err := range v.StreamEntries(id, seq) {
		if err != nil {
			return 0, err
		}
		e, err := v.Entry(index)
		if err != nil {
			return 0, err
		}
		if more, err := look(e); err != nil || !more {
			return index + 1, err
		}
	}
	return max(from, v.Size()), nil
}

func (f filter) matches(st *receipt.Statement) bool {
	if f.kind != "" && st.Body.Kind() != f.kind {
		return false
	}
	if f.verdict != "" {
		d, ok := st.Body.(*receipt.Decision)
		return ok && d.Verdict == f.verdict
	}
	return true
}

// follow streams entries as they come, a JSON object a line; an empty line every
// heartbeat shows that the connection lives. It ends when the client does, or the
// server. A client that lost the connection goes on with after: there is no gap and
// no double.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, f filter, from uint64) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return refuse(helm.Overloaded, "%d streams are open: no more are", s.MaxStreams)
	}
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-cache")
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	send := func(b []byte) error {
		// A slow reader has this long for what waits for it; nothing is kept for it here.
		if err := out.SetWriteDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return out.Flush()
	}
	// The server's deadline of reading a request would else be taken for the client's going.
	if err := out.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if err := send(nil); err != nil {
		return nil
	}
	for last := time.Now(); ; {
		var lines bytes.Buffer
		err := s.Kernel.Log().View(ctx, func(v *ledger.View) error {
			next, err := s.scan(v, f, from, streamChunk, func(l ReceiptLine) error {
				b, err := json.Marshal(l)
				lines.Write(append(b, '\n'))
				return err
			})
			if err == nil {
				from = next
			}
			return err
		})
		if err != nil {
			panic(http.ErrAbortHandler) // it began: a broken connection is not taken for an end
		}
		if lines.Len() > 0 {
			if err := send(lines.Bytes()); err != nil {
				return nil
			}
			last = time.Now()
			continue
		}
		// What is there and does not match is waited for as well: that takes no time.
		wait, stop := context.WithDeadline(ctx, last.Add(s.Heartbeat))
		_, err = s.Kernel.Log().Wait(wait, from)
		stop()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			if err := send([]byte("\n")); err != nil {
				return nil
			}
			last = time.Now()
		default:
			panic(http.ErrAbortHandler)
		}
	}
}

// receipt answers with the receipt file of an entry, with a fresh proof.
func (s *Server) receipt(w http.ResponseWriter, r *http.Request, _ caller) error {
	var file []byte
	err := s.Kernel.Log().View(r.Context(), func(v *ledger.View) error {
		index, err := v.ParseID(r.PathValue("id"))
		if err == nil {
			file, err = v.Receipt(index)
		}
		return err
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return refuse(helm.NotFound, "%w", err)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(file)
	return nil
}
