package facts

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, test := range []struct{ raw, want string }{ // scheme host port path, then "user"
		{"http://example.com", "http example.com 80 /"},
		{"https://example.com/", "https example.com 443 /"},
		{"HTTPS://Example.COM./a/b?c=d#e", "https example.com 443 /a/b"},
		{"http://example.com:8080/a", "http example.com 8080 /a"},
		{"https://api.github.com/repos/a/b", "https api.github.com 443 /repos/a/b"},
		{"wss://example.com/s", "wss example.com 443 /s"},
		{"ftp://example.com/f", "ftp example.com 21 /f"},
		{"http://127.0.0.1:7714/v1", "http 127.0.0.1 7714 /v1"},
		{"http://[::1]:80/", "http ::1 80 /"},
		{"http://[::ffff:169.254.169.254]/latest", "http 169.254.169.254 80 /latest"},
		{"http://169.254.169.254/latest/meta-data/", "http 169.254.169.254 80 /latest/meta-data/"},
		{"http://example.com?q=1", "http example.com 80 /"},
		{"http://example.com#f", "http example.com 80 /"},
		{"http://example.com/a%20b", "http example.com 80 /a%20b"},
		{"http://example.com/a%2fb", "http example.com 80 /a%2fb"},
		{"http://example.com/a?x=..", "http example.com 80 /a"},
		{"http://example.com/a?next=/../b", "http example.com 80 /a"},
		{"http://example.com/...", "http example.com 80 /..."},
		{"http://example.com//a", "http example.com 80 //a"},
		{"http://example.com/a@b", "http example.com 80 /a@b"},
		// User information is no fault of its own; the host is what follows it.
		{"http://good.example@evil.example/", "http evil.example 80 / user"},
		{"http://u:p@example.com/", "http example.com 80 / user"},
		{"http://good.example:80@evil.example:81/", "http evil.example 81 / user"},
		{"http://@example.com/", "http example.com 80 / user"},
		{"http://good.example%2f@evil.example/", "http evil.example 80 / user"},
		// Opaque.
		{"", ""},
		{"example.com", ""},
		{"example.com/a", ""},
		{"//example.com/a", ""},
		{"/a", ""},
		{"http:", ""},
		{"http:example.com", ""},
		{"http:/example.com", ""},
		{"http://", ""},
		{"http:///a", ""},
		{"http://?q", ""},
		{"http://@/", ""},
		{"http://:80/", ""},
		{"://example.com/", ""},
		{"1http://example.com/", ""},
		{"ht tp://example.com/", ""},
		{"javascript:alert(1)", ""},
		{"data:text/plain,x", ""},
		{"file:///etc/passwd", ""},
		{"file://localhost/etc/passwd", ""},
		{"gopher://example.com/", ""},
		{"jar:http://example.com/", ""},
		{"http+unix://example.com/", ""},
		{`http:\\example.com\`, ""},
		{`http://good.example\@evil.example/`, ""},
		{`http://good.example\.evil.example/`, ""},
		{"http://good.example#@evil.example/", ""},
		{"http://good.example?@evil.example/", ""},
		{"http://a@b@example.com/", ""},
		{" http://example.com/", ""},
		{"http://example.com/ ", ""},
		{"http://example.com/\n", ""},
		{"ht\ttp://example.com/", ""},
		{"http://exam\tple.com/", ""},
		{"http://example.com/\x00", ""},
		{"http://exämple.com/", ""},
		{"http://example.com/ä", ""},
		{"http://example.com/{a}", ""},
		{"http://example.com/a|b", ""},
		{"http://example.com/\"", ""},
		{"http://example.com/%", ""},
		{"http://example.com/%2", ""},
		{"http://example.com/%zz", ""},
		{"http://exam%70le.com/", ""},
		{"http://example.com%2f.evil.example/", ""},
		{"http://[::1/", ""},
		{"http://::1/", ""},
		{"http://::1:80/", ""},
		{"http://[fe80::1%25eth0]/", ""},
		{"http://[::1]a/", ""},
		{"http://2130706433/", ""},
		{"http://0177.0.0.1/", ""},
		{"http://0x7f.1/", ""},
		{"http://127.1/", ""},
		{"http://a_b.example/", ""},
		{"http://example.com:/", ""},
		{"http://example.com:0/", ""},
		{"http://example.com:080/", ""},
		{"http://example.com:65536/", ""},
		{"http://example.com:99999/", ""},
		{"http://example.com:8o/", ""},
		{"http://example.com:-1/", ""},
		{"http://example.com:80:80/", ""},
		{"http://example.com/../a", ""},
		{"http://example.com/a/..", ""},
		{"http://example.com/a/./b", ""},
		{"http://example.com/%2e%2E/a", ""},
		{"http://example.com/.%2e/a", ""},
		{"http://example.com/..%2fa", ""},
		{"http://example.com/a%5c..%5cb", ""},
		{"http://example.com/..;/a", ""},
		{"http://example.com/" + strings.Repeat("a", MaxURLBytes), ""},
	} {
		u := ParseURL(test.raw)
		got := ""
		if !u.Opaque {
			got = u.Scheme + " " + u.Host.Name + " " + strconv.Itoa(u.Port) + " " + u.Path
			if u.UserInfo {
				got += " user"
			}
		}
		if got != test.want || u.Opaque != (u.Why != "") {
			t.Errorf("ParseURL(%.80q) = %+v, want %q", test.raw, u, test.want)
		}
	}
}

// A rule that denies can do so by what was read before the fault.
func TestOpaqueURLKeepsWhatItSaw(t *testing.T) {
	for raw, want := range map[string]string{
		"http://2130706433/":                "PLO",
		"http://0xa9fea9fe/latest":          "PMO",
		"http://127.0.0.1/a/../b":           "PL",
		"http://[fe80::1%25eth0]/":          "PO",
		"http://10.0.0.1?@good.example":     "P",
		"http://good@0251.0376.0251.0376/x": "PMO",
	} {
		if u := ParseURL(raw); !u.Opaque || flags(u.Host) != want {
			t.Errorf("%q: %+v, want host flags %q", raw, u, want)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"http://u@[::1]:80/a?b#c", "https://example.com/%2e./", "http://a@b@c", "http://1/", "ws://h:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u := ParseURL(raw)
		if u != ParseURL(raw) {
			t.Fatal("two readings differ")
		}
		if u.Opaque != (u.Why != "") || u.Host.Opaque && !u.Opaque {
			t.Fatalf("%q: %+v", raw, u)
		}
		if u.Opaque {
			return
		}
		// What we understand, the standard library understands alike.
		std, err := url.Parse(raw)
		if err != nil {
			t.Fatalf("%q: %+v, but %v", raw, u, err)
		}
		if std.Scheme != u.Scheme || (std.User != nil) != u.UserInfo || ParseHost(std.Hostname()) != u.Host {
			t.Fatalf("%q: %+v, but %#v", raw, u, std)
		}
		if p := std.Port(); p != "" && p != strconv.Itoa(u.Port) {
			t.Fatalf("%q: port %d, but %s", raw, u.Port, p)
		}
		if p := std.EscapedPath(); p != u.Path && p != "" {
			t.Fatalf("%q: path %q, but %q", raw, u.Path, p)
		}
	})
}
