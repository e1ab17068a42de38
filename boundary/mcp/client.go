package mcp

import (
	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// stateless is the revision of the protocol from which every request says who asks, and
// questions to the user are answers to a call.
const stateless = "2026-07-28"

// A client is what the client says of itself.
type client struct {
	name      string // and version
	elicits   bool   // its user can be asked
	stateless bool   // the request is of such a revision
	meta      map[string]jsontext.Value
}

// A meta is the member _meta of a request's params.
type meta struct {
	client
	said     bool // of a stateless revision: the rest is known
	progress jsontext.Value
}

// initialized reads the params of initialize. Where they cannot be read nothing is known.
func initialized(params jsontext.Value) (c client) {
	if params == nil {
		return c
	}
	members(params, strict, func(name string, v jsontext.Value) error {
		switch name {
		case "clientInfo":
			c.name = implementation(v)
		case "capabilities":
			c.elicits = elicits(v)
		}
		return nil
	})
	return c
}

func readMeta(v jsontext.Value) (m meta, err error) {
	if v.Kind() == 'n' {
		return m, nil
	}
	m.meta = map[string]jsontext.Value{}
	err = members(v, strict, func(name string, v jsontext.Value) (err error) {
		switch name {
		case "progressToken":
			if k := v.Kind(); k == '"' || k == '0' {
				m.progress = v
			}
			return nil
		case mcp.MetaKeyProtocolVersion:
			version, _ := text(name, v)
			m.said = version >= stateless
			m.stateless = m.said
		case mcp.MetaKeyClientInfo:
			m.name = implementation(v)
		case mcp.MetaKeyClientCapabilities:
			m.elicits = elicits(v)
		default:
			return nil
		}
		m.meta[name] = v
		return nil
	})
	return m, err
}

// of is who asks in a request: what it says itself, or what initialize said.
func (c client) of(m meta) client {
	if m.said {
		return m.client
	}
	return c
}

func implementation(v jsontext.Value) string {
	var name, version string
	members(v, strict, func(member string, v jsontext.Value) error {
		switch member {
		case "name":
			name, _ = text(member, v)
		case "version":
			version, _ = text(member, v)
		}
		return nil
	})
	if name == "" {
		return ""
	}
	return helm.Name(name + "/" + version)
}

// elicits reports whether capabilities have elicitation by a form, which no member of it
// means too.
func elicits(capabilities jsontext.Value) (can bool) {
	members(capabilities, strict, func(name string, v jsontext.Value) error {
		if name == "elicitation" && v.Kind() == '{' {
			can = true
			form, others := false, false
			members(v, strict, func(name string, _ jsontext.Value) error {
				form, others = form || name == "form", true
				return nil
			})
			can = form || !others
		}
		return nil
	})
	return can
}

// complete is a result as this client's revision has it: {...}.
func (c client) complete(result []byte) jsontext.Value {
	if !c.stateless {
		return result
	}
	return append(result[:len(result)-1:len(result)-1], `,"resultType":"complete"}`...)
}
