package receipt

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// RuleTools is the rule of a decision that a pinned tool changed.
const RuleTools = "kernel:tools"

// ContextDefinition is the member of a call's context in which a boundary says the SHA-256,
// in hex, of the tool's definition as its server lists it.
const ContextDefinition = "definition"

// Pins are the tools of all servers, by full name, as the control stream tells.
type Pins map[string]Pin

// A Pin is what is known of a tool.
type Pin struct {
	Pinned Hash // the definition that calls must have
	Listed Hash // the one that was listed last
	Gone   bool // it was not in the last list
}

// MaxPins is how many tools are pinned in a log, of all servers.
const MaxPins = 65_536

// Fault is why a boundary entry cannot say of tools what it says, after all that was said
// before, or "". An entry that pins what another one had pinned would else hide a change.
func (p Pins) Fault(b *Boundary) string {
	more := len(p)
	for _, t := range b.Tools {
		if server, _, ok := strings.Cut(t.Name, "."); !ok || server != b.Covers {
			return fmt.Sprintf("%s is no tool of %s", t.Name, b.Covers)
		}
		pin, known := p[t.Name]
		var holds bool
		switch b.Event {
		case ToolsPinned, ToolsAdded:
			holds = !known
			more++
		case ToolsChanged:
			holds = known && t.SHA256 != pin.Pinned && (pin.Gone || t.SHA256 != pin.Listed)
		case ToolsReturned:
			holds = known && t.SHA256 == pin.Pinned && (pin.Gone || t.SHA256 != pin.Listed)
		case ToolsVanished:
			holds = known && t.SHA256 == pin.Listed && !pin.Gone
		case ToolsAccepted:
			holds = known && t.SHA256 == pin.Listed && t.SHA256 != pin.Pinned
		}
		switch {
		case !holds && !known:
			return fmt.Sprintf("%s was not listed before", t.Name)
		case !holds:
			return fmt.Sprintf("%s was pinned as %x and listed as %x before", t.Name, pin.Pinned, pin.Listed)
		}
	}
	if more > MaxPins {
		return fmt.Sprintf("%d tools are pinned: a log has at most %d", more, MaxPins)
	}
	return ""
}

// Take takes what a boundary entry says of tools.
func (p Pins) Take(b *Boundary) {
	for _, t := range b.Tools {
		pin := p[t.Name]
		switch b.Event {
		case ToolsPinned, ToolsAdded:
			pin = Pin{Pinned: t.SHA256, Listed: t.SHA256}
		case ToolsAccepted: // which does not bring back one that has vanished since
			pin.Pinned, pin.Listed = t.SHA256, t.SHA256
		case ToolsChanged, ToolsReturned:
			pin.Listed, pin.Gone = t.SHA256, false
		case ToolsVanished:
			pin.Gone = true
		}
		p[t.Name] = pin
	}
}

// Changed reports whether the context of a call gives another definition of the tool than
// the one that is pinned. It is not known where that is hidden.
func (p Pins) Changed(tool string, context strictjson.Value) (changed, known bool) {
	pin, pinned := p[tool]
	if !pinned {
		return false, true
	}
	if context.Kind == strictjson.Hidden {
		return false, false
	}
	if context.Kind != strictjson.Object {
		return false, true
	}
	given, there := context.Get(ContextDefinition)
	if given.Kind == strictjson.Hidden {
		return false, false
	}
	return there && (given.Kind != strictjson.String || given.Text != hex.EncodeToString(pin.Pinned[:])), true
}
