package facts

import (
	"net/netip"
	"strconv"
	"strings"
)

// A Host is a network host that a call names, read without asking a name server:
// a public-looking name may still resolve to a private address, so whoever makes
// the connection checks the address again.
type Host struct {
	Name     string // lower case, without the final dot; the address for an address; "" when opaque
	IP       string // the address in its canonical text; "" for a name
	Private  bool   // an address or a name that is not of the public internet
	Loopback bool   // this machine; always Private too
	Metadata bool   // a cloud's instance metadata service; always Private too
	Opaque   bool   // programs differ in what host they would reach, or there is none
	Why      string // why it is opaque, for people; "" otherwise
}

// ParseHost reads raw as a host name or an IP address, an IPv6 one with or without
// brackets, and no port. Names follow RFC 1123: letters, digits and hyphens.
//
// An IPv4 address in any spelling but four plain decimals (2130706433, 0177.0.0.1,
// 0x7f.1, 127.1: inet_aton(3)) is opaque, because programs read it differently; IP
// and the flags still say what inet_aton reads, and the flags also what a reader
// who takes an octal for a decimal reads. A zone (fe80::1%eth0) is opaque likewise.
func ParseHost(raw string) Host {
	h := Host{}
	s := raw
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(s, ":") {
			return opaqueHost("brackets hold an IPv6 address and nothing else")
		}
	}
	switch {
	case s == "":
		return opaqueHost("there is no host")
	case len(s) > 254:
		return opaqueHost("the host is too long")
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 {
			return opaqueHost("the host is not ASCII")
		} else if c <= 0x20 || c == 0x7f {
			return opaqueHost("the host has a space or a control character")
		}
	}
	if strings.Contains(s, ":") {
		a, zone, hasZone := strings.Cut(s, "%")
		ip, err := netip.ParseAddr(a)
		if err != nil {
			return opaqueHost("the host has a colon and is no IPv6 address")
		}
		h.address(ip.Unmap())
		if hasZone {
			h.Name, h.Opaque, h.Why = "", true, "the zone "+strconv.Quote(zone)+" has a meaning on one machine only"
		}
		return h
	}
	s = lower(s)
	if ip, err := netip.ParseAddr(s); err == nil {
		h.address(ip)
		return h
	}
	name := strings.TrimSuffix(s, ".")
	labels := strings.Split(name, ".")
	if numeric(labels[len(labels)-1]) {
		h.oddAddress(labels)
		return h
	}
	for _, l := range labels {
		if why := checkLabel(l); why != "" {
			return opaqueHost(why)
		}
	}
	if len(name) > 253 {
		return opaqueHost("the host is too long")
	}
	h.Name = name
	h.special(labels)
	return h
}

// In reports whether the host is in list. An entry is a name or an address, which
// matches itself, or "*.corp.example", which matches every subdomain and not
// corp.example. A name with an xn-- label is matched by the identical entry only,
// since two such names may look the same to whoever wrote the list. Case and one
// final dot are ignored. It is false when the host is opaque.
func (h Host) In(list []string) bool {
	if h.Opaque || h.Name == "" {
		return false
	}
	for _, entry := range list {
		if strings.HasPrefix(entry, "*.") {
			suffix := ParseHost(entry[2:])
			if h.IP == "" && !h.punycode() && !suffix.Opaque && strings.HasSuffix(h.Name, "."+suffix.Name) {
				return true
			}
		} else if e := ParseHost(entry); !e.Opaque && e.Name == h.Name {
			return true
		}
	}
	return false
}

func (h Host) punycode() bool {
	return strings.HasPrefix(h.Name, "xn--") || strings.Contains(h.Name, ".xn--")
}

func opaqueHost(why string) Host { return Host{Opaque: true, Why: why} }

// lower is strings.ToLower for ASCII: no other letter folds into one of its own.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}

// checkLabel says why l is no label of a host name (RFC 1123 section 2.1), or returns "".
func checkLabel(l string) string {
	if l == "" || len(l) > 63 {
		return "a label of the host is empty or longer than 63 characters"
	}
	for i := 0; i < len(l); i++ {
		if c := l[i]; !isLetter(c) && !isDigit(c) && c != '-' {
			return "a label of the host has the character " + strconv.QuoteRune(rune(c))
		}
	}
	if l[0] == '-' || l[len(l)-1] == '-' {
		return "a label of the host begins or ends with a hyphen"
	}
	return ""
}
