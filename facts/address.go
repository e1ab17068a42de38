package facts

import (
	"net/netip"
	"strconv"
	"strings"
)

// private holds the ranges that the IANA special-purpose registries do not give
// to the public internet (RFC 6890 and its successors), multicast (RFC 5771, RFC
// 4291) and reserved space. An address in one of them is Private.
var private = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:db8::/32", "3fff::/20",
	"5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// metadata holds the addresses at which clouds tell an instance its credentials.
var metadata = prefixes(
	"169.254.169.254/32",     // AWS, Azure, Google Cloud, Oracle, DigitalOcean and others
	"169.254.170.2/32",       // AWS, task credentials of containers
	"169.254.170.23/32",      // AWS, pod identity
	"169.254.0.23/32",        // Tencent Cloud
	"168.63.129.16/32",       // Azure's wire server, a public address that stays inside
	"100.100.100.200/32",     // Alibaba Cloud
	"192.0.0.192/32",         // Oracle Cloud, classic
	"fd00:ec2::254/128",      // AWS
	"fd00:ec2::23/128",       // AWS, pod identity
	"fd20:ce::254/128",       // Google Cloud
	"fd00:c1::a9fe:a9fe/128", // Oracle Cloud
)

// metadataNames are the names by which the same services are known.
var metadataNames = []string{"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}

// address fills in what an address says of itself and of the IPv4 address that
// it carries, where it is a tunnel's or a translator's.
func (h *Host) address(ip netip.Addr) {
	h.IP = ip.String()
	h.Name = h.IP
	h.classify(ip)
	if v4, ok := embedded(ip); ok {
		h.classify(v4)
	}
}

func (h *Host) classify(ip netip.Addr) {
	h.Loopback = h.Loopback || ip.IsLoopback() || ip.IsUnspecified() // connecting to 0.0.0.0 or :: reaches this machine
	h.Metadata = h.Metadata || within(metadata, ip)
	h.Private = h.Private || h.Loopback || h.Metadata || within(private, ip)
}

// embedded returns the IPv4 address inside an IPv6 one.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	at := func(i int) (netip.Addr, bool) { return netip.AddrFrom4([4]byte(b[i : i+4])), true }
	switch {
	case within(nat64, ip), within(compatible, ip), within(translated, ip):
		return at(12)
	case within(sixToFour, ip):
		return at(2)
	case within(teredo, ip):
		for i := 12; i < 16; i++ {
			b[i] ^= 0xff // RFC 4380 section 4: the client's address is stored inverted
		}
		return at(12)
	}
	return netip.Addr{}, false
}

var (
	nat64      = prefixes("64:ff9b::/96")    // RFC 6052
	compatible = prefixes("::/96")           // RFC 4291 section 2.5.5.1
	translated = prefixes("::ffff:0:0:0/96") // RFC 2765 section 2.1
	sixToFour  = prefixes("2002::/16")       // RFC 3056
	teredo     = prefixes("2001::/32")       // RFC 4380
)

// oddAddress reads a host whose last label is a number, which by the URL standard
// and by inet_aton(3) is an IPv4 address or nothing.
func (h *Host) oddAddress(labels []string) {
	h.Opaque, h.Why = true, "the host ends in a number and is no IPv4 address"
	if ip, ok := aton(labels, false); ok {
		h.Why = "the IPv4 address is not written as four plain decimals"
		h.IP = ip.String()
		h.classify(ip)
		if ip, ok = aton(labels, true); ok {
			h.classify(ip)
		}
	}
}

// numeric reports whether label would be read as a number by inet_aton(3).
func numeric(label string) bool {
	hex, isHexNumber := strings.CutPrefix(label, "0x")
	for i := 0; i < len(hex); i++ {
		if !isDigit(hex[i]) && !(isHexNumber && isHex(hex[i])) {
			return false
		}
	}
	return isHexNumber || hex != ""
}

// aton reads one to four numbers as inet_aton(3) does: 0x is hexadecimal, a
// leading 0 octal unless decimal is set, and the last one fills what is left.
func aton(labels []string, decimal bool) (netip.Addr, bool) {
	if len(labels) > 4 {
		return netip.Addr{}, false
	}
	var ip uint64
	for i, l := range labels {
		base := 10
		if hex, ok := strings.CutPrefix(l, "0x"); ok {
			l, base = "0"+hex, 16
		} else if len(l) > 1 && l[0] == '0' && !decimal {
			base = 8
		}
		n, err := strconv.ParseUint(l, base, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		if i < len(labels)-1 {
			if n > 255 {
				return netip.Addr{}, false
			}
			ip |= n << (24 - 8*i)
			continue
		}
		if n >= 1<<(32-8*i) {
			return netip.Addr{}, false
		}
		ip |= n
	}
	return netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}), true
}

// special fills in what is known of names without asking: RFC 6761 (localhost),
// RFC 6762 (local), RFC 8375 (home.arpa), ICANN's internal, and names of one
// label, which only a local search list or hosts file resolves.
func (h *Host) special(labels []string) {
	for _, m := range metadataNames {
		h.Metadata = h.Metadata || h.Name == m
	}
	last := labels[len(labels)-1]
	switch {
	case last == "localhost", h.Name == "localhost.localdomain", h.Name == "ip6-localhost", h.Name == "ip6-loopback":
		h.Loopback, h.Private = true, true
	case len(labels) == 1, last == "local", last == "internal", strings.HasSuffix("."+h.Name, ".home.arpa"), h.Metadata:
		h.Private = true
	}
}

func prefixes(list ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(list))
	for i, s := range list {
		ps[i] = netip.MustParsePrefix(s)
	}
	return ps
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
