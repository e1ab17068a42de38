package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Limits of what boundaries say.
const (
	MaxToolsOfServer = 2048
	MaxStandings     = 256 // boundaries that are remembered, those that said something last
)

// A Standing is what was said last of a boundary.
type Standing struct {
	Boundary  string
	Event     string // of the last start, stop or check
	Covers    string
	Principal string // who said it
	Index     uint64
	Time      time.Time
}

// control is what the control stream says up to an entry. It is never changed.
type control struct {
	at        receipt.Link
	pins      receipt.Pins
	standings map[string]Standing
}

// control reads the control stream as far as it was not read yet. Its state is kept in no
// table: it is what signed entries say, and these are few.
func (k *Kernel) control(v *ledger.View) (*control, error) {
	known, head := k.read.Load(), v.Control()
	if known != nil && known.at == head {
		return known, nil
	}
	next := &control{pins: receipt.Pins{}, standings: map[string]Standing{}}
	if known != nil && known.at.Seq < head.Seq {
		next = &control{known.at, maps.Clone(known.pins), maps.Clone(known.standings)}
	}
	for index, err := range v.StreamEntries(k.log.StreamKey().Control(), next.at.Seq+1) {
		if err != nil {
			return nil, err
		}
		e, st, err := v.Statement(index)
		if err != nil {
			return nil, err
		}
		if st.Leaf(e.Statement).Hash() != e.Leaf || st.Streams[0].Seq != next.at.Seq+1 {
			return nil, fmt.Errorf("entry %d: it is not what the log has at %d of the control stream: the store was changed", index, next.at.Seq+1)
		}
		if st.Streams[0].Prev != next.at.Hash && known == nil {
			return nil, fmt.Errorf("entry %d: it does not follow what stands before it in the control stream: the store was changed", index)
		}
		if at := &st.Streams[0]; at.Prev != next.at.Hash { // what was read was never committed
			k.read.Store(nil)
			return k.control(v)
		}
		next.at = receipt.Link{Seq: st.Streams[0].Seq, Hash: e.Leaf}
		if b, ok := st.Body.(*receipt.Boundary); ok {
			next.take(index, st.Time, b)
		}
	}
	if next.at != head {
		return nil, fmt.Errorf("the control stream ends at %d, and the head names %d", next.at.Seq, head.Seq)
	}
	k.read.Store(next)
	return next, nil
}

func (c *control) take(index uint64, at time.Time, b *receipt.Boundary) {
	c.pins.Take(b)
	if len(b.Tools) > 0 {
		return
	}
	c.standings[b.Boundary] = Standing{b.Boundary, b.Event, b.Covers, b.Principal, index, at}
	if len(c.standings) > MaxStandings {
		oldest := index
		for _, s := range c.standings {
			oldest = min(oldest, s.Index)
		}
		maps.DeleteFunc(c.standings, func(_ string, s Standing) bool { return s.Index == oldest })
	}
}

// changed reports whether a call gives another definition of its tool than the pinned one.
func (k *Kernel) changed(v *ledger.View, in *input) (bool, error) {
	if _, gives := in.context.Get(receipt.ContextDefinition); !gives {
		return false, nil // and a process that decides one call need not read the control stream
	}
	c, err := k.control(v)
	if err != nil {
		return false, err
	}
	changed, _ := c.pins.Changed(in.Tool, in.context)
	return changed, nil
}

// Standings are what was said last of each boundary, the newest first.
func (k *Kernel) Standings(ctx context.Context) (out []Standing, err error) {
	err = k.log.View(ctx, func(v *ledger.View) error {
		c, err := k.control(v)
		if err == nil {
			out = slices.SortedFunc(maps.Values(c.standings), func(a, b Standing) int { return int(int64(b.Index) - int64(a.Index)) })
		}
		return err
	})
	return out, coded(err)
}

// Boundary records the start or stop of a way by which agents reach the kernel, or what came
// of trying it.
func (k *Kernel) Boundary(ctx context.Context, principal, boundary, event, covers string) (Recorded, error) {
	if err := helm.CheckName("boundary", boundary); err != nil {
		return Recorded{}, &Error{helm.BadRequest, err}
	}
	if event != receipt.BoundaryStart && event != receipt.BoundaryStop && event != receipt.BoundaryCheck {
		return Recorded{}, refuse(helm.BadRequest, "the event %.40q is not %s, %s or %s", event, receipt.BoundaryStart, receipt.BoundaryStop, receipt.BoundaryCheck)
	}
	if len(covers) > receipt.MaxReasonBytes {
		return Recorded{}, refuse(helm.TooLarge, "covers has %d bytes: at most %d are allowed", len(covers), receipt.MaxReasonBytes)
	}
	return k.boundary(ctx, &receipt.Boundary{Principal: principal, Boundary: boundary, Event: event, Covers: covers})
}

func (k *Kernel) boundary(ctx context.Context, b *receipt.Boundary) (Recorded, error) {
	return k.insist(ctx, nil, func(*ledger.View) (*ledger.Draft, error) {
		return &ledger.Draft{Subject: k.log.GenesisSubject(), Body: b}, nil
	})
}

// A PinnedTool is a tool of a server, by the name that the server gives it.
type PinnedTool struct {
	Name           string
	Pinned, Listed receipt.Hash
	Gone           bool // it is not in the last list
}

// Changed reports whether calls of the tool are denied.
func (t PinnedTool) Changed() bool { return !t.Gone && t.Listed != t.Pinned }

// checkServer refuses a server's name that could not be told from a tool's.
func checkServer(server string) error {
	err := helm.CheckName("server", server)
	if err == nil && strings.Contains(server, ".") {
		err = fmt.Errorf("the server's name %q has a dot, which parts it from its tools", server)
	}
	if err != nil {
		return &Error{helm.BadRequest, err}
	}
	return nil
}

// List takes what a server lists now, all of it, records how that differs from what is
// known, and returns what is known then. The first list is pinned, and so is a tool that is
// added later; a tool that changed is not, until an operator accepts it.
func (k *Kernel) List(ctx context.Context, principal, boundary, server string, tools []receipt.Tool) ([]PinnedTool, error) {
	if err := checkServer(server); err != nil {
		return nil, err
	}
	if len(tools) > MaxToolsOfServer {
		return nil, refuse(helm.TooLarge, "%s lists %d tools: at most %d can be pinned", server, len(tools), MaxToolsOfServer)
	}
	listed := map[string]receipt.Hash{}
	for _, t := range tools {
		full := server + "." + t.Name
		if err := helm.CheckName("tool", full); err != nil {
			return nil, &Error{helm.BadRequest, err}
		}
		if _, twice := listed[full]; twice {
			return nil, refuse(helm.BadRequest, "the tool %s is listed twice", full)
		}
		listed[full] = t.SHA256
	}
	for said := map[string]bool{}; ; {
		var b *receipt.Boundary
		_, err := k.insist(ctx, nil, func(v *ledger.View) (*ledger.Draft, error) {
			c, err := k.control(v)
			if err != nil {
				return nil, err
			}
			b = &receipt.Boundary{Principal: principal, Boundary: boundary, Covers: server}
			if b.Event, b.Tools = c.differ(server, listed); b.Event == "" {
				return nil, errSame
			}
			if more := receipt.MaxPins - len(c.pins); (b.Event == receipt.ToolsPinned || b.Event == receipt.ToolsAdded) && len(b.Tools) > more {
				return nil, refuse(helm.TooLarge, "the log has pinned %d tools, and at most %d are: more of %s cannot be", len(c.pins), receipt.MaxPins, server)
			}
			// Two that contradict each other would else fill the log.
			if i := slices.IndexFunc(b.Tools, func(t receipt.Tool) bool { return said[t.Name] }); i >= 0 {
				return nil, refuse(helm.Conflict, "others list %s otherwise at the same time", b.Tools[i].Name)
			}
			return &ledger.Draft{Subject: k.log.GenesisSubject(), Body: b}, nil
		})
		if errors.Is(err, errSame) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, t := range b.Tools {
			said[t.Name] = true
		}
	}
	return k.Tools(ctx, server)
}

// errSame ends a proposal that has nothing to say.
var errSame = errors.New("nothing differs")

// differ is one event by which a list differs from what is known, and the tools that it is
// about, or "".
func (c *control) differ(server string, listed map[string]receipt.Hash) (string, []receipt.Tool) {
	events := map[string][]receipt.Tool{}
	known := false
	for name, pin := range c.pins {
		if !strings.HasPrefix(name, server+".") {
			continue
		}
		known = true
		now, there := listed[name]
		event, sha := "", now
		switch {
		case !there && !pin.Gone:
			event, sha = receipt.ToolsVanished, pin.Listed
		case !there:
		case now == pin.Pinned && (pin.Gone || pin.Listed != now):
			event = receipt.ToolsReturned
		case now != pin.Pinned && (pin.Gone || pin.Listed != now):
			event = receipt.ToolsChanged
		}
		if event != "" {
			events[event] = append(events[event], receipt.Tool{Name: name, SHA256: sha})
		}
	}
	for name, sha := range listed {
		if _, there := c.pins[name]; !there {
			events[receipt.ToolsAdded] = append(events[receipt.ToolsAdded], receipt.Tool{Name: name, SHA256: sha})
		}
	}
	if !known {
		events = map[string][]receipt.Tool{receipt.ToolsPinned: events[receipt.ToolsAdded]}
	}
	for _, event := range slices.Sorted(maps.Keys(events)) {
		if tools := events[event]; len(tools) > 0 {
			slices.SortFunc(tools, func(a, b receipt.Tool) int { return strings.Compare(a.Name, b.Name) })
			return event, tools[:min(len(tools), receipt.MaxTools)]
		}
	}
	return "", nil
}

// Tools are the tools of a server that were ever listed.
func (k *Kernel) Tools(ctx context.Context, server string) (out []PinnedTool, err error) {
	if err := checkServer(server); err != nil {
		return nil, err
	}
	err = k.log.View(ctx, func(v *ledger.View) error {
		c, err := k.control(v)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(c.pins)) {
			if of, ok := strings.CutPrefix(name, server+"."); ok {
				pin := c.pins[name]
				out = append(out, PinnedTool{of, pin.Pinned, pin.Listed, pin.Gone})
			}
		}
		return nil
	})
	return out, coded(err)
}

// Accept pins the definition that a changed tool has now.
func (k *Kernel) Accept(ctx context.Context, principal, boundary, server, tool string, sha receipt.Hash) (Recorded, error) {
	if err := checkServer(server); err != nil {
		return Recorded{}, err
	}
	full := server + "." + tool
	return k.insist(ctx, nil, func(v *ledger.View) (*ledger.Draft, error) {
		c, err := k.control(v)
		if err != nil {
			return nil, err
		}
		pin, there := c.pins[full]
		switch {
		case !there:
			return nil, refuse(helm.NotFound, "no server has listed %s", full)
		case pin.Listed != sha:
			return nil, refuse(helm.Conflict, "the definition of %s that was listed last is %x, and not %x: look at it again", full, pin.Listed, sha)
		case pin.Pinned == sha:
			return nil, refuse(helm.Conflict, "%s is pinned to that definition already", full)
		}
		return &ledger.Draft{Subject: k.log.GenesisSubject(), Body: &receipt.Boundary{Principal: principal, Boundary: boundary,
			Event: receipt.ToolsAccepted, Covers: server, Tools: []receipt.Tool{{Name: full, SHA256: sha}}}}, nil
	})
}
