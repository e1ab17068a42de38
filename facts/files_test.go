package facts

import (
	"slices"
	"testing"
)

func TestFiles(t *testing.T) {
	for command, want := range map[string][]string{
		"cat a/.env":                 {"a/.env"},
		"cat -- .env":                {"--", ".env"},
		"x --file=.env":              {"--file=.env", "--file", ".env"},
		"x -f.env":                   {"-f.env", ".env"},
		"curl -F file=@.env":         {"-F", "file=@.env", "file", "", ".env"},
		"scp h:.env b":               {"h:.env", "h", ".env", "b"},
		"dd if=.env of=/dev/sda":     {"if=.env", "if", ".env", "of=/dev/sda", "of", "/dev/sda"},
		"cat <.env >b":               {".env", "b"},
		"x a,b,.env":                 {"a,b,.env", "a", "b", ".env"},
		"echo 'the .env of a house'": {"the .env of a house"},
	} {
		if got := parse(command).Commands[0].Files(); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", command, got, want)
		}
	}
}

func TestStrays(t *testing.T) {
	for command, want := range map[string]bool{
		"rm a b/c ./d -f":         false,
		"rm a/../b":               false,
		"rm .a ..b ...":           false,
		"rm *.py":                 false,
		"rm /srv/app/a":           false,
		"a >/dev/null":            false,
		"go test ./...":           false,
		"git diff main..x":        false,
		"git commit -m 'no /x'":   false,
		"rm /srv/app2/a":          true,
		"rm /srv/app/../a":        true,
		"rm /":                    true,
		"rm ..":                   true,
		"rm ../a":                 true,
		"rm a/../../b":            true,
		"rm ~/a":                  true,
		"rm '~'":                  true,
		"rm $x":                   true,
		"rm .*":                   true,
		"rm a/.[.]":               true,
		"cp a --target=/etc":      true,
		"cp a -t/etc":             true,
		"cp a -t../b":             true,
		"a >../b":                 true,
		"a </etc/passwd":          true,
		"git --git-dir=../x show": true,
	} {
		if got := parse(command).Commands[0].Strays("/srv/app"); got != want {
			t.Errorf("%q strays: %v", command, got)
		}
	}
	if c := parse("rm /a").Commands[0]; !c.Strays("") {
		t.Error("an absolute path is under a directory that is not known")
	}
	if c := parse("rm a").Commands[0]; c.Strays("") {
		t.Error("a relative path strays from a directory that is not known")
	}
}
