// Package hook reads what agents' hosts tell their hooks, and writes what they understand
// as an answer. It decides nothing. A host goes on with a call when its hook fails in a way
// that it does not know, so every way in which this can end is one of the host's own.
package hook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// MaxInput is how much a host may tell: a call's arguments and a result, and room for
// what stands around them.
const MaxInput = 4 << 20

// A Moment is when a hook is called.
type Moment int

// The moments.
const (
	Before Moment = iota // a call waits for the hook
	After                // it ran, well or not
	Ended                // the session ended
)

// An Event is what a host told.
type Event struct {
	Moment Moment
	Call   helm.Call          // without principal and boundary
	Status helm.OutcomeStatus // After
	Result json.RawMessage    // After: what came of it
}

// name turns what a host calls something into a name (helm.CheckName): other bytes are
// written as %XX, and what is too long is cut, with a hash of all of it.
func name(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	out := b.String()
	if len(out) > helm.MaxNameBytes {
		sum := sha256.Sum256([]byte(s))
		out = fmt.Sprintf("%s~%x", out[:helm.MaxNameBytes-33], sum[:16])
	}
	return out
}

// object is a value that must be an object, {} where it is absent or null.
func object(what string, v jsontext.Value) (json.RawMessage, error) {
	switch {
	case len(v) == 0 || v.Kind() == 'n':
		return json.RawMessage(`{}`), nil
	case v.Kind() != '{':
		return nil, fmt.Errorf("%s is no object", what)
	}
	return json.RawMessage(v), nil
}
