package receipt

import (
	"encoding/hex"

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

// Take takes what a boundary entry says of tools.
func (p Pins) Take(b *Boundary) {
	for _, t := range b.Tools {
		pin := p[t.Name]
		switch b.Event {
		case ToolsPinned, ToolsAdded, ToolsAccepted:
			pin.Pinned, pin.Listed, pin.Gone = t.SHA256, t.SHA256, false
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
