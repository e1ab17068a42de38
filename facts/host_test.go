package facts

import (
	"net/netip"
	"strings"
	"testing"
)

// flags of a Host, as letters: Private, Loopback, Metadata, Opaque.
func flags(h Host) string {
	s := ""
	for _, f := range []struct {
		on     bool
		letter string
	}{{h.Private, "P"}, {h.Loopback, "L"}, {h.Metadata, "M"}, {h.Opaque, "O"}} {
		if f.on {
			s += f.letter
		}
	}
	return s
}

func TestParseHost(t *testing.T) {
	for _, test := range []struct{ raw, name, ip, flags string }{
		{"example.com", "example.com", "", ""},
		{"EXAMPLE.com.", "example.com", "", ""},
		{"a-b.c1.example", "a-b.c1.example", "", ""},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "", ""},
		{"1and1.example", "1and1.example", "", ""},
		{"localhost", "localhost", "", "PL"},
		{"LocalHost.", "localhost", "", "PL"},
		{"x.localhost", "x.localhost", "", "PL"},
		{"localhost.localdomain", "localhost.localdomain", "", "PL"},
		{"localhost.example.com", "localhost.example.com", "", ""},
		{"notlocalhost.com", "notlocalhost.com", "", ""},
		{"intranet", "intranet", "", "P"},
		{"printer.local", "printer.local", "", "P"},
		{"db.internal", "db.internal", "", "P"},
		{"nas.home.arpa", "nas.home.arpa", "", "P"},
		{"metadata.google.internal", "metadata.google.internal", "", "PM"},
		{"metadata", "metadata", "", "PM"},
		// Addresses.
		{"8.8.8.8", "8.8.8.8", "8.8.8.8", ""},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1", "PL"},
		{"127.8.8.8", "127.8.8.8", "127.8.8.8", "PL"},
		{"0.0.0.0", "0.0.0.0", "0.0.0.0", "PL"},
		{"0.1.2.3", "0.1.2.3", "0.1.2.3", "P"},
		{"10.0.0.1", "10.0.0.1", "10.0.0.1", "P"},
		{"11.0.0.1", "11.0.0.1", "11.0.0.1", ""},
		{"172.16.0.1", "172.16.0.1", "172.16.0.1", "P"},
		{"172.31.255.255", "172.31.255.255", "172.31.255.255", "P"},
		{"172.32.0.1", "172.32.0.1", "172.32.0.1", ""},
		{"192.168.1.1", "192.168.1.1", "192.168.1.1", "P"},
		{"100.64.0.1", "100.64.0.1", "100.64.0.1", "P"},
		{"100.63.255.255", "100.63.255.255", "100.63.255.255", ""},
		{"100.100.100.200", "100.100.100.200", "100.100.100.200", "PM"},
		{"169.254.1.1", "169.254.1.1", "169.254.1.1", "P"},
		{"169.254.169.254", "169.254.169.254", "169.254.169.254", "PM"},
		{"168.63.129.16", "168.63.129.16", "168.63.129.16", "PM"},
		{"224.0.0.1", "224.0.0.1", "224.0.0.1", "P"},
		{"255.255.255.255", "255.255.255.255", "255.255.255.255", "P"},
		{"198.18.0.1", "198.18.0.1", "198.18.0.1", "P"},
		{"2606:4700::1111", "2606:4700::1111", "2606:4700::1111", ""},
		{"[2606:4700::1111]", "2606:4700::1111", "2606:4700::1111", ""},
		{"2606:4700:0:0::1111", "2606:4700::1111", "2606:4700::1111", ""},
		{"::1", "::1", "::1", "PL"},
		{"[::1]", "::1", "::1", "PL"},
		{"0:0:0:0:0:0:0:1", "::1", "::1", "PL"},
		{"::", "::", "::", "PL"},
		{"fe80::1", "fe80::1", "fe80::1", "P"},
		{"FC00::1", "fc00::1", "fc00::1", "P"},
		{"fd00:ec2::254", "fd00:ec2::254", "fd00:ec2::254", "PM"},
		{"ff02::1", "ff02::1", "ff02::1", "P"},
		{"::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1", "PL"},
		{"::ffff:a9fe:a9fe", "169.254.169.254", "169.254.169.254", "PM"},
		{"[::FFFF:8.8.8.8]", "8.8.8.8", "8.8.8.8", ""},
		{"::127.0.0.1", "::7f00:1", "::7f00:1", "PL"},
		{"64:ff9b::7f00:1", "64:ff9b::7f00:1", "64:ff9b::7f00:1", "PL"},
		{"64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "PM"},
		{"64:ff9b::8.8.8.8", "64:ff9b::808:808", "64:ff9b::808:808", ""},
		{"64:ff9b:1::1", "64:ff9b:1::1", "64:ff9b:1::1", "P"},
		{"2002:7f00:1::", "2002:7f00:1::", "2002:7f00:1::", "PL"},
		{"2002:808:808::1", "2002:808:808::1", "2002:808:808::1", ""},
		{"2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:4136:e378:8000:63bf:80ff:fffe", "PL"},
		// Spellings that programs read differently: flagged and opaque.
		{"2130706433", "", "127.0.0.1", "PLO"},
		{"0x7f000001", "", "127.0.0.1", "PLO"},
		{"0X7F.1", "", "127.0.0.1", "PLO"},
		{"017700000001", "", "127.0.0.1", "PLO"},
		{"0177.0.0.1", "", "127.0.0.1", "PLO"},
		{"127.1", "", "127.0.0.1", "PLO"},
		{"127.0.1", "", "127.0.0.1", "PLO"},
		{"127.0.0.1.", "", "127.0.0.1", "PLO"},
		{"127.000.000.001", "", "127.0.0.1", "PLO"},
		{"0", "", "0.0.0.0", "PLO"},
		{"0x", "", "0.0.0.0", "PLO"},
		{"010.0.0.1", "", "8.0.0.1", "PO"}, // 10.0.0.1 to those who know no octal
		{"2852039166", "", "169.254.169.254", "PMO"},
		{"0xa9fea9fe", "", "169.254.169.254", "PMO"},
		{"169.254.43518", "", "169.254.169.254", "PMO"},
		{"134744072", "", "8.8.8.8", "O"},
		{"[fe80::1%eth0]", "", "fe80::1", "PO"},
		{"fe80::1%25eth0", "", "fe80::1", "PO"},
		{"::1%lo", "", "::1", "PLO"},
		// No host.
		{"", "", "", "O"},
		{".", "", "", "O"},
		{"..", "", "", "O"},
		{"a..b", "", "", "O"},
		{".a", "", "", "O"},
		{"a.b..", "", "", "O"},
		{"256.1.1.1", "", "", "O"},
		{"1.2.3.4.5", "", "", "O"},
		{"08.0.0.1", "", "", "O"},
		{"4294967296", "", "", "O"},
		{"example.123", "", "", "O"},
		{"example.0x1", "", "", "O"},
		{"-a.example", "", "", "O"},
		{"a-.example", "", "", "O"},
		{"a_b.example", "", "", "O"},
		{"a b", "", "", "O"},
		{"a\tb", "", "", "O"},
		{"a\x00", "", "", "O"},
		{"a/b", "", "", "O"},
		{"a@b", "", "", "O"},
		{"a%2eb", "", "", "O"},
		{"example.com:443", "", "", "O"},
		{"127.0.0.1:80", "", "", "O"},
		{"[example.com]", "", "", "O"},
		{"[127.0.0.1]", "", "", "O"},
		{"[::1", "", "", "O"},
		{"::1]", "", "", "O"},
		{"[[::1]]", "", "", "O"},
		{":::", "", "", "O"},
		{"::ffff:127.1", "", "", "O"},
		{"bücher.example", "", "", "O"},
		{"ⓛocalhost", "", "", "O"},
		{"127。0。0。1", "", "", "O"},
		{"*.example.com", "", "", "O"},
		{strings.Repeat("a", 64) + ".example", "", "", "O"},
		{strings.Repeat("a.", 127) + "aa", "", "", "O"},
	} {
		h := ParseHost(test.raw)
		if h.Name != test.name || h.IP != test.ip || flags(h) != test.flags || h.Opaque != (h.Why != "") {
			t.Errorf("ParseHost(%q) = %+v, want name %q, ip %q, flags %q", test.raw, h, test.name, test.ip, test.flags)
		}
	}
}

func TestHostIn(t *testing.T) {
	list := []string{"api.github.com", "*.Corp.example.", "8.8.8.8", "[2606:4700:0::1111]", "xn--bcher-kva.example", "*.xn--p1ai", "", "*", "*.", "*.8.8", "bad_name"}
	for raw, want := range map[string]bool{
		"api.github.com": true, "API.GitHub.com.": true, "github.com": false, "evil-api.github.com": false, "x.api.github.com": false,
		"api.github.com.evil.example": false,
		"a.corp.example":              true, "a.b.corp.example": true, "corp.example": false, "evilcorp.example": false, "corp.example.evil": false,
		"8.8.8.8": true, "::ffff:8.8.8.8": true, "134744072": false, "8.8.8.8.": false,
		"2606:4700::1111": true, "[2606:4700::1111]": true, "[2606:4700::1111%1]": false,
		"xn--bcher-kva.example": true, "xn--a.corp.example": false, "a.xn--b.corp.example": false, "x.xn--p1ai": false,
		"": false, "*": false, "bad_name": false, "anything.example": false, "*.corp.example": false,
	} {
		if got := ParseHost(raw).In(list); got != want {
			t.Errorf("%q in the list: %v", raw, got)
		}
	}
	if (Host{Opaque: true, Name: "api.github.com"}).In(list) || (Host{}).In([]string{""}) {
		t.Error("an opaque host is in a list")
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"example.com", "0177.1", "[::ffff:1.2.3.4]", "fe80::1%a", "xn--a.b", "2130706433"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		h := ParseHost(raw)
		if h != ParseHost(raw) {
			t.Fatal("two readings differ")
		}
		if (h.Loopback || h.Metadata) && !h.Private || h.Opaque != (h.Why != "") || h.Opaque != (h.Name == "") {
			t.Fatalf("%q: %+v", raw, h)
		}
		if h.In([]string{raw}) == h.Opaque {
			t.Fatalf("%q matches itself: %v", raw, !h.Opaque)
		}
		if h.Opaque {
			return
		}
		if again := ParseHost(h.Name); again != h {
			t.Fatalf("%q is %+v, its name %+v", raw, h, again)
		}
		// The standard library's idea of what is not public is a part of ours.
		if ip, err := netip.ParseAddr(h.IP); err == nil {
			if (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified()) && !h.Private {
				t.Fatalf("%q is not private", raw)
			}
		} else if h.IP != "" {
			t.Fatalf("%q has the address %q", raw, h.IP)
		}
	})
}
