package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestTidy(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"only white space", " \t\r\n\n", ""},
		{"only a comment", "\n  # c  ", "# c\n"},
		{"spaces", "  a=1\t\n b   =   \"x\"   #c \n", "a = 1\nb = \"x\" #c\n"},
		{"line ends", "a = 1\r\n\r\n\r\n# c\r\nb = 2", "a = 1\n\n# c\nb = 2\n"},
		{"tables", "[ a . 'b' ]\n\nx=1\n[[ c.\"d e\" ]]# t\n", "[a.b]\nx = 1\n\n[[c.\"d e\"]] # t\n"},
		{"comments of tables", "a=1\n# of b\n[b]\n# of x\nx=1\n\n\n# alone\n\n# of c\n# too\n[c]\n", "a = 1\n\n# of b\n[b]\n# of x\nx = 1\n\n# alone\n\n# of c\n# too\n[c]\n"},
		{"a comment right below a header", "[a]\n\n# one\n\nx=1\n", "[a]\n# one\n\nx = 1\n"},
		{"keys", "\"a\".'b' . c = 1\n\"\"=2\n'x y' = 3\n\"\\u0061b\" = 4\n'q\"' = 5\n", "a.b.c = 1\n\"\" = 2\n\"x y\" = 3\n\"\\u0061b\" = 4\n'q\"' = 5\n"},
		{"quotes", `a='x'` + "\n" + `b='x"y'` + "\n" + `c='x\y'` + "\n" + `d="it's"` + "\n" + `e=''` + "\n", `a = "x"` + "\n" + `b = 'x"y'` + "\n" + `c = 'x\y'` + "\n" + `d = "it's"` + "\n" + `e = ""` + "\n"},
		{"long strings stay", "a=\"\"\"\n  x = [ 1,2 ]   \n\n\n# no comment\n\\\"\"\"\"\"\nb='''\r\n\t'q'\\'''''\n", "a = \"\"\"\n  x = [ 1,2 ]   \n\n\n# no comment\n\\\"\"\"\"\"\nb = '''\r\n\t'q'\\'''''\n"},
		{"arrays", "a=[1,2 ,3,]\nb=[ ]\nc=[\n]\nd=[ [1] ,['x'] ]\n", "a = [1, 2, 3]\nb = []\nc = []\nd = [[1], [\"x\"]]\n"},
		{"wide arrays", "a=[1,2\n , 3 # c\n\n\n #d\n]", "a = [\n  1, 2,\n  3, # c\n\n  #d\n]\n"},
		{"a comment before the comma", "a=[1 # one\n,2 ]", "a = [\n  1, # one\n  2,\n]\n"},
		{"arrays in arrays", "a=[\n[1,\n2],[3]]\nb=[[\n1],2]\n", "a = [\n  [\n    1,\n    2,\n  ], [3],\n]\nb = [[\n  1,\n], 2]\n"},
		{"inline tables", "a={b=1,c  ={ },'d'=[ {e='f'}]}\n", "a = { b = 1, c = {}, d = [{ e = \"f\" }] }\n"},
		{"brackets in strings and comments", "a=['[',\"]\", # ]\n'#']", "a = [\n  \"[\", \"]\", # ]\n  \"#\",\n]\n"},
		{"numbers and times", "a=+1_000\nb=0xFF\nc=6.02e23\nd=1979-05-27 07:32:00Z # t\ne=[ true,1979-05-27 ]\n", "a = +1_000\nb = 0xFF\nc = 6.02e23\nd = 1979-05-27 07:32:00Z # t\ne = [true, 1979-05-27]\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Tidy("p.toml", []byte(test.in))
			if err != nil || string(got) != test.want {
				t.Fatalf("got\n%s\nwant\n%s\nerror %v", got, test.want, err)
			}
			again, err := Tidy("p.toml", got)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("formatted again it is\n%s\nerror %v", again, err)
			}
		})
	}
}

func TestTidyRefuses(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"no TOML":   {"a = 1\nb = = 2\n", "p.toml:2:5: "},
		"two keys":  {"a = 1\na = 2\n", "p.toml:2:"},
		"deep":      {"a = " + strings.Repeat("[", 101) + strings.Repeat("]", 101), "nest deeper than 100"},
		"too large": {"# " + strings.Repeat("x", MaxFileBytes), "at most 1 MiB"},
	} {
		if _, err := Tidy("p.toml", []byte(test.in)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOurOwnForm holds that the policies of this project are in form.
func TestOurOwnForm(t *testing.T) {
	files, err := filepath.Glob("../*.toml")
	more, merr := filepath.Glob("../policies/*.toml")
	if err != nil || merr != nil || len(files)+len(more) < 3 {
		t.Fatal(files, more, err, merr)
	}
	for _, f := range append(append(files, more...), "../internal/cli/demo.toml") {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Tidy(f, src)
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, src) {
			t.Errorf("%s is not in form: run helm-ai-kernel policy fmt --write %s", f, strings.TrimPrefix(f, "../"))
		}
	}
}

// FuzzTidy holds that whatever is TOML is put into form, that this changes nothing of
// what it says, and that what is in form stays as it is.
func FuzzTidy(f *testing.F) {
	for _, seed := range []string{"a=1 # c\n[[b]]\nc=['x',\n\"y\"]\n", "a={b=[1,\n2]}\n", "a={\nb=1, # c\n}\n", "'a'.\"b\"=\"\"\"\nx\"\"\"\"\n", "d=1979-05-27 07:32:00\n"} {
		f.Add([]byte(seed))
	}
	files, _ := filepath.Glob("testdata/vectors/*.toml")
	for _, name := range files {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := Tidy("p.toml", src)
		if err != nil {
			var doc map[string]any
			if toml.Unmarshal(src, &doc) == nil && !bytes.Contains(bytes.ToLower(src), []byte("nan")) && bytes.Count(src, []byte{'['})+bytes.Count(src, []byte{'{'}) < maxNesting && len(src) < MaxFileBytes {
				t.Fatalf("%v\n%q", err, src)
			}
			return
		}
		again, err := Tidy("p.toml", got)
		if err != nil || !bytes.Equal(got, again) {
			t.Fatalf("%q\nbecomes\n%q\nand then\n%q, %v", src, got, again, err)
		}
	})
}

// TestTidyAnything puts documents into form that are written in every way that TOML
// allows, by dice.
func TestTidyAnything(t *testing.T) {
	for seed := range uint64(3000) {
		g := &scribbler{rand.New(rand.NewPCG(seed, 1))}
		src := []byte(g.document())
		var doc map[string]any
		if err := toml.Unmarshal(src, &doc); err != nil {
			t.Fatalf("the test's own fault: %v\n%s", err, src)
		}
		got, err := Tidy("p.toml", src)
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		if again, err := Tidy("p.toml", got); err != nil || !bytes.Equal(got, again) {
			t.Fatalf("%s\nbecomes\n%s\nand then\n%s, %v", src, got, again, err)
		}
		if shape := longStrings.ReplaceAll(got, []byte("x")); untidy.Match(shape) {
			t.Fatalf("this is no form:\n%s", got)
		}
	}
}

// untidy is what is in no text that is in form.
var untidy = regexp.MustCompile(`(?m)[ \t]$|\A\n|\n\n\n|\n\n\z|\r|\[\n\n`)

var longStrings = regexp.MustCompile(`(?s)""".*?"""+|'''.*?'''+`)

// A scribbler writes TOML.
type scribbler struct{ *rand.Rand }

func (g *scribbler) one(of ...string) string { return of[g.IntN(len(of))] }
func (g *scribbler) space() string           { return g.one("", "", " ", "\t", "   ") }
func (g *scribbler) comment() string         { return g.one("", "", "", "# c", "#", "# ] } ' \"  ") }
func (g *scribbler) end() string             { return g.space() + g.comment() + g.one("\n", "\r\n") }

// lines is white space, or some lines and comments.
func (g *scribbler) lines() string {
	out := g.space()
	for range g.IntN(4) * g.IntN(2) {
		out += g.end() + g.space()
	}
	return out
}

func (g *scribbler) key(n int) string {
	name := fmt.Sprint("k", n)
	return g.space() + g.one(name, `"`+name+`"`, "'"+name+"'", `"`+name+` ."`, "'"+name+`"'`, name+g.space()+"."+g.space()+"'x'") + g.space()
}

func (g *scribbler) value(depth int) string {
	kind := g.IntN(7)
	if depth == 0 {
		kind = g.IntN(5)
	}
	switch kind {
	case 0:
		return g.one("1", "+1_0", "0xAf", "1.5", "true", "1979-05-27", "1979-05-27 07:32:00", "07:32:00", "1979-05-27T07:32:00-07:00")
	case 1:
		return g.one(`""`, `"x"`, `"\" \\"`, `"# ]"`, `"'"`)
	case 2:
		return g.one(`''`, `'x'`, `'"'`, `'\'`, `'# ]'`)
	case 3:
		return g.one("\"\"\"\n  a  \n\n\n# b\n\"\"\"", `"""" x\""""`, "\"\"\"x\"\"\"\"\"", "\"\"\"\\\n  x\"\"\"")
	case 4:
		return g.one("'''\n  a  \n\n\n# b\r\n'''", `''''x'''''`, `'''\'''`)
	case 5:
		out := "["
		n := g.IntN(4)
		for i := range n {
			out += g.lines() + g.value(depth-1) + g.lines()
			if i < n-1 || g.IntN(2) == 0 {
				out += ","
			}
		}
		return out + g.lines() + "]"
	}
	out := "{" + g.space()
	for i := range g.IntN(4) {
		if i > 0 {
			out += ","
		}
		out += g.key(i) + "=" + g.space() + g.value(depth-1) + g.space()
	}
	return out + "}"
}

func (g *scribbler) document() string {
	out := g.lines() + "\n"
	for i := range g.IntN(6) {
		if g.IntN(3) == 0 {
			out += g.space() + g.one(fmt.Sprintf("[ t%d . 'x' ]", i), fmt.Sprintf("[[\"t%d\"]]", i), fmt.Sprintf("[t%d]", i)) + g.end()
		} else {
			out += g.key(i) + "=" + g.space() + g.value(3) + g.end()
		}
		out += g.lines() + "\n"
	}
	return out
}
