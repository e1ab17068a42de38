package facts

import (
	"path"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, test := range []struct {
		raw, cwd, clean string // clean "" is opaque
	}{
		{"/srv/app/a.txt", "", "/srv/app/a.txt"},
		{"/", "", "/"},
		{"/srv/app/", "", "/srv/app"},
		{"//srv//app/./a", "", "/srv/app/a"},
		{"/srv/app/../etc", "", "/srv/etc"},
		{"/../../etc/shadow", "", "/etc/shadow"},
		{"a.txt", "/srv/app", "/srv/app/a.txt"},
		{"./a.txt", "/srv/app/", "/srv/app/a.txt"},
		{".", "/srv/app", "/srv/app"},
		{"..", "/srv/app", "/srv"},
		{"../../../../etc/passwd", "/srv/app", "/etc/passwd"},
		{"a/../../b", "/srv/app", "/srv/b"},
		{"...", "/srv", ""},
		{"a./b", "/srv", ""},
		{".env ", "/srv", ""},
		{".env::$DATA", "/srv", ""},
		{"x:$I30:$INDEX_ALLOCATION/b", "/srv", ""},
		{"ENV~1", "/srv", ""},
		{"/PROGR~12/b.txt", "/srv", ""},
		{"file.txt~1", "/srv", "/srv/file.txt~1"},
		{"~1", "/srv", ""},
		{"averylongname~1", "/srv", "/srv/averylongname~1"},
		{".env", "/srv", "/srv/.env"},
		{"a b", "/srv", "/srv/a b"},
		{"-rf", "/srv", "/srv/-rf"},
		{"ünï", "/srv", "/srv/ünï"},
		{"100%", "/srv", "/srv/100%"},
		{"50%of", "/srv", "/srv/50%of"},
		{"ab:c", "/srv", "/srv/ab:c"},
		{"1:b", "/srv", "/srv/1:b"},
		{"a~", "/srv", "/srv/a~"},
		{"a$b", "/srv", "/srv/a$b"},
		{"/a", "", "/a"},
		{"/a", "not absolute", "/a"},
		{"a", "", ""},
		{"a", "srv", ""},
		{"a", "~", ""},
		{"a", "/srv\x00", ""},
		{"a", "/srv/%2e%2e", ""},
		{"", "/srv", ""},
		{"~/a", "/srv", ""},
		{"~root/a", "/srv", ""},
		{"~", "/srv", ""},
		{"$HOME/a", "/srv", ""},
		{"/home/${USER}/a", "/srv", ""},
		{"a\x00.txt", "/srv", ""},
		{"a\n", "/srv", ""},
		{"a\x1b[2J", "/srv", ""},
		{"a\x7f", "/srv", ""},
		{"\xff\xfe", "/srv", ""},
		{`..\..\etc`, "/srv", ""},
		{`\\host\share`, "/srv", ""},
		{`C:\Windows`, "/srv", ""},
		{"C:/Windows", "/srv", ""},
		{"c:a", "/srv", ""},
		{"file:///etc/passwd", "/srv", ""},
		{"%2e%2e/a", "/srv", ""},
		{"..%2fa", "/srv", ""},
		{"..%2Fa", "/srv", ""},
		{"..%5ca", "/srv", ""},
		{"%252e%252e/a", "/srv", ""},
		{"%c0%ae%c0%ae/a", "/srv", ""},
		{"a%00.txt", "/srv", ""},
		{strings.Repeat("a/", MaxPathBytes), "/srv", ""},
	} {
		p := ParsePath(test.raw, test.cwd)
		if p.Clean != test.clean || p.Opaque != (test.clean == "") || p.Opaque != (p.Why != "") {
			t.Errorf("ParsePath(%q, %q) = %+v, want %q", test.raw, test.cwd, p, test.clean)
		}
	}
}

func TestPathUnder(t *testing.T) {
	for _, test := range []struct {
		raw, dir string
		want     bool
	}{
		{"/srv/app/a", "/srv/app", true},
		{"/srv/app/a", "/srv/app/", true},
		{"/srv/app/a", "/srv//app/.", true},
		{"/srv/app", "/srv/app", true},
		{"/srv/app/a", "/", true},
		{"/", "/", true},
		{"/srv/app2", "/srv/app", false},
		{"/srv/ap", "/srv/app", false},
		{"/srv", "/srv/app", false},
		{"/srv/app/../x", "/srv/app", false},
		{"/srv/app/../../etc/shadow", "/srv/app", false},
		{"/SRV/app/a", "/srv/app", false},
		{"/srv/app/%2e%2e/a", "/srv/app", false},
		{"/srv/app/a", "", false},
		{"/srv/app/a", "app", false},
		{"/srv/app/a", "~", false},
		{"a", "/", false},
		{"", "/", false},
	} {
		if got := ParsePath(test.raw, "").Under(test.dir); got != test.want {
			t.Errorf("%q under %q: %v", test.raw, test.dir, got)
		}
	}
	if (Path{}).Under("/") || (Path{Clean: "/srv", Opaque: true}).Under("/") {
		t.Error("an opaque path is under /")
	}
}

func TestPathBase(t *testing.T) {
	for raw, want := range map[string]string{"/srv/.env": ".env", "/srv/app/": "app", "/": "/", "~/.env": "", "/a/..": "/"} {
		if got := ParsePath(raw, "").Base(); got != want {
			t.Errorf("base of %q is %q, want %q", raw, got, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	f.Add("../a", "/srv/app")
	f.Add("%2e%2e/a", "/srv")
	f.Add("//a/./b/..", "")
	f.Fuzz(func(t *testing.T, raw, cwd string) {
		p := ParsePath(raw, cwd)
		if p != ParsePath(raw, cwd) {
			t.Fatal("two readings differ")
		}
		if p.Opaque {
			if p.Clean != "" || p.Why == "" || p.Under("/") || p.Base() != "" {
				t.Fatalf("opaque, yet %+v", p)
			}
			return
		}
		if p.Clean[0] != '/' || path.Clean(p.Clean) != p.Clean || !p.Under("/") {
			t.Fatalf("not clean: %+v", p)
		}
		// Somebody else's walk: component by component, never above the root.
		if !strings.HasPrefix(raw, "/") {
			raw = cwd + "/" + raw
		}
		var walk []string
		for _, c := range strings.Split(raw, "/") {
			switch c {
			case "", ".":
			case "..":
				walk = walk[:max(0, len(walk)-1)]
			default:
				walk = append(walk, c)
			}
		}
		if want := "/" + strings.Join(walk, "/"); p.Clean != want {
			t.Fatalf("%q is %q, a walk ends at %q", raw, p.Clean, want)
		}
		for i := range walk[:min(len(walk), 8)] {
			dir := "/" + strings.Join(walk[:i], "/")
			if !p.Under(dir) || i > 0 && p.Under(dir+"x") {
				t.Fatalf("%q under %q", p.Clean, dir)
			}
		}
	})
}
