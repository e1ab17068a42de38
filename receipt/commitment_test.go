package receipt_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// lineTexts prints the lines of a value.
func lineTexts(t *testing.T, value string) []string {
	t.Helper()
	lines, err := receipt.Flatten(must(strictjson.Parse([]byte(value))))
	if err != nil {
		t.Fatalf("Flatten(%s): %v", value, err)
	}
	var out []string
	for i := range lines {
		out = append(out, string(lines[i].Append(nil)))
	}
	return out
}

func TestFlatten(t *testing.T) {
	for _, tt := range []struct {
		value string
		lines []string
	}{
		{`null`, []string{`["","v",null]`}},
		{`{}`, []string{`["",{"object":[]}]`}},
		{`[]`, []string{`["",{"array":0}]`}},
		{`{"to":["a"]}`, []string{`["",{"object":["to"]}]`, `["/to",{"array":1}]`, `["/to/0","v","a"]`}},
		{`{"to":{"0":"a"}}`, []string{`["",{"object":["to"]}]`, `["/to",{"object":["0"]}]`, `["/to/0","v","a"]`}},
		// '!' is before '/': a sibling stands between a container and what it holds.
		{`{"a/b":1,"a!":2,"a":{"b":3},"a~b":4,"":5}`, []string{`["",{"object":["","a","a!","a/b","a~b"]}]`, `["/","v",5]`,
			`["/a",{"object":["b"]}]`, `["/a!","v",2]`, `["/a/b","v",3]`, `["/a~0b","v",4]`, `["/a~1b","v",1]`}},
		// Byte order of pointers is not the order of an array.
		{`[0,1,2,3,4,5,6,7,8,9,10]`, []string{`["",{"array":11}]`, `["/0","v",0]`, `["/1","v",1]`, `["/10","v",10]`, `["/2","v",2]`, `["/3","v",3]`,
			`["/4","v",4]`, `["/5","v",5]`, `["/6","v",6]`, `["/7","v",7]`, `["/8","v",8]`, `["/9","v",9]`}},
		{`{"~1":true,"/":false,"\n\"😂":-0.0}`, []string{`["",{"object":["\n\"😂","/","~1"]}]`, `["/\n\"😂","v",-0.0]`, `["/~01","v",true]`, `["/~1","v",false]`}},
	} {
		if got := lineTexts(t, tt.value); !slices.Equal(got, tt.lines) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.value, strings.Join(got, "\n"), strings.Join(tt.lines, "\n"))
		}
	}
}

// distinctValues are different values; no two may share a commitment.
var distinctValues = []string{
	`{}`, `[]`, `null`, `""`, `0`, `-0`, `0.0`, `0e0`, `false`, `true`, `"null"`, `"0"`, `"{}"`, `"[]"`, `"true"`,
	`1`, `1.0`, `1e0`, `1E0`, `10e-1`, `"1"`, `9007199254740992`, `9007199254740993`, `"9007199254740993"`,
	`{"a":null}`, `{"a":{}}`, `{"a":[]}`, `{"a":""}`, `{"a":[null]}`, `{"a":{"":null}}`, `[null]`, `[[]]`, `[{}]`, `[""]`, `[null,null]`, `[[],[]]`,
	`{"to":["a"]}`, `{"to":{"0":"a"}}`, `{"to":"a"}`, `{"to":{"0":["a"]}}`, `["a"]`, `{"0":"a"}`, `{"":"a"}`, `{"":{"":"a"}}`,
	`{"a/b":1}`, `{"a":{"b":1}}`, `{"a~1b":1}`, `{"a~0b":1}`, `{"a~b":1}`, `{"/":{"a":1}}`, `{"":{"a":1}}`, `{"/a":1}`,
	`{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":{"b":2},"a!":1}`, `{"a":{"b":1},"a!":2}`, `{"object":["to"]}`, `[{"object":[]}]`, `{"array":0}`, `["","v",null]`,
	`{"a":"b\",\"c"}`, `{"a":"b","c":1}`, `"\u0000"`, `"\\u0000"`, `"é"`, `"e\u0301"`,
	`{"arguments":{}}`, `{"arguments":{},"context":{}}`, `{"arguments":{"context":{}}}`, `{"arguments":{},"context":null}`,
}

func TestNoTwoValuesShareACommitment(t *testing.T) {
	secret := receipt.Secret(fixed("secret"))
	seen := map[receipt.Hash]string{}
	for _, v := range distinctValues {
		lines := must(receipt.Flatten(must(strictjson.Parse([]byte(v)))))
		c := receipt.Commit(&secret, lines)
		if other, twice := seen[c]; twice {
			t.Errorf("%s and %s share a commitment", v, other)
		}
		seen[c] = v
		other := receipt.Secret(fixed("another secret"))
		if receipt.Commit(&other, lines) == c {
			t.Errorf("%s has one commitment under two secrets", v)
		}
	}
	// One value in two spellings has one commitment.
	for _, same := range [][2]string{
		{`{"b":1,"a":2}`, ` { "a" : 2 , "b" : 1 } `}, {`"A/é😂"`, `"\u0041\/\u00e9\ud83d\ude02"`}, {`"\u001f\n"`, `"\u001F\u000a"`},
	} {
		if a, b := lineTexts(t, same[0]), lineTexts(t, same[1]); !slices.Equal(a, b) {
			t.Errorf("%s and %s are two values", same[0], same[1])
		}
	}
}

// The commitment step by step, without the package's code.
func TestCommitmentFromTheSpec(t *testing.T) {
	p := newSampleLog().entry("decision-approved").payload
	file := "helm/fields/v1\n"
	for i := range p.lines {
		m := hmac.New(sha256.New, p.secret[:])
		fmt.Fprintf(m, "helm/salt/v1\n%s", p.lines[i].Pointer)
		salt := m.Sum(nil)[:16]
		if got := p.secret.Salt(p.lines[i].Pointer); !bytes.Equal(got[:], salt) {
			t.Errorf("Salt(%q) = %x, want %x", p.lines[i].Pointer, got, salt)
		}
		digest := sha256.Sum256(append(salt, p.lines[i].Append(nil)...))
		file += base64.StdEncoding.EncodeToString(digest[:]) + "\n"
	}
	if got := receipt.FieldsFile(&p.secret, p.lines); string(got) != file {
		t.Errorf("FieldsFile =\n%s\nwant\n%s", got, file)
	}
	if p.commitment() != sha256.Sum256([]byte(file)) {
		t.Error("the commitment is not the SHA-256 of the fields file")
	}
}

func TestInput(t *testing.T) {
	args := must(strictjson.Parse([]byte(`{"a":1}`)))
	if got := receipt.Input(args, strictjson.Value{}).Append(nil); string(got) != `{"arguments":{"a":1}}` {
		t.Errorf("Input = %s", got)
	}
	if got := receipt.Input(args, strictjson.Value{Kind: strictjson.Object}).Append(nil); string(got) != `{"arguments":{"a":1},"context":{}}` {
		t.Errorf("Input = %s", got)
	}
}

func TestFlattenIsBounded(t *testing.T) {
	ok := func(value string) {
		t.Helper()
		lines, err := receipt.Flatten(must(strictjson.Parse([]byte(value))))
		if err != nil {
			t.Fatalf("Flatten(%.40s...): %v", value, err)
		}
		secret := receipt.Secret{}
		d := receipt.Disclose(1, &secret, lines)
		again := must(receipt.ParseDisclosure(must(d.Marshal())))
		if err := again.Verify(receipt.Commit(&secret, lines)); err != nil {
			t.Errorf("%.40s...: %v", value, err)
		}
	}
	bad := func(says string, v strictjson.Value) {
		t.Helper()
		_, err := receipt.Flatten(v)
		refuses(t, says, err, says)
	}
	zeros := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("0,", n), ",") + "]" }
	deep := func(n int) string { return strings.Repeat(`{"k":`, n) + "1" + strings.Repeat("}", n) }
	ok(zeros(receipt.MaxFields - 1))
	bad("more than 4096 fields", must(strictjson.Parse([]byte(zeros(receipt.MaxFields)))))
	ok(deep(strictjson.MaxDepth))
	bad("nest deeper than 64", strictjson.Value{Kind: strictjson.Array, Elems: []strictjson.Value{must(strictjson.Parse([]byte(deep(strictjson.MaxDepth))))}})
	ok(fmt.Sprintf(`{"%s":1}`, strings.Repeat("x", receipt.MaxPointerBytes-1)))
	bad("more than 4096 bytes", must(strictjson.Parse(fmt.Appendf(nil, `{"%s":1}`, strings.Repeat("x", receipt.MaxPointerBytes)))))
	bad("more than 4194304 bytes", strictjson.Value{Kind: strictjson.String, Text: strings.Repeat("x", receipt.MaxFlatBytes)})
	var names []string // they count in the object's line and in their own
	for i := range 2200 {
		names = append(names, fmt.Sprintf(`"%01000d":0`, i))
	}
	bad("more than 4194304 bytes", must(strictjson.Parse([]byte("{"+strings.Join(names, ",")+"}"))))
	long := strings.Repeat("x", 2000) // a pointer that is long, two thousand times
	bad("more than 4194304 bytes", must(strictjson.Parse(fmt.Appendf(nil, `{"%s":%s}`, long, zeros(3000)))))
}

// A disclosure of the value {"a":{"b":1},"a!":[true,null],"c":"x"}, and what can be hidden.
func testDisclosure(t *testing.T) (*payload, receipt.Disclosure) {
	t.Helper()
	p := newPayload("disclosure", `{"a":{"b":1},"a!":[true,null],"c":"x"}`)
	return p, receipt.Disclose(7, &p.secret, p.lines)
}

// The lines: 0 "", 1 /a, 2 /a!, 3 /a!/0, 4 /a!/1, 5 /a/b, 6 /c.
func TestDisclosuresHide(t *testing.T) {
	for _, hide := range [][]int{nil, {6}, {5}, {5, 1}, {3}, {4, 3}, {4, 3, 2}, {5, 4, 3, 2, 1}, {6, 5, 4, 3, 2, 1}, {6, 5, 4, 3, 2, 1, 0}} {
		p, d := testDisclosure(t)
		for _, i := range hide {
			d.Close(i)
			// However far the closing went, it opens the same commitment.
			line := must(d.Marshal())
			again, err := receipt.ParseDisclosure(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if !reflect.DeepEqual(must(again.Marshal()), line) {
				t.Errorf("%s prints as another", line)
			}
			if err := again.Verify(p.commitment()); err != nil {
				t.Errorf("%v hidden: %v", hide, err)
			}
		}
		v, ok := d.Value()
		if ok != (hide == nil) || ok && !reflect.DeepEqual(v, p.value) {
			t.Errorf("%v hidden: Value = %s, %v", hide, v.Append(nil), ok)
		}
		if string(d.FieldsFile()) != string(receipt.FieldsFile(&p.secret, p.lines)) {
			t.Errorf("%v hidden: the fields file is another", hide)
		}
	}
}

// attack builds lines by hand. Whoever commits can commit to anything, so the
// commitment is made to fit and the shape alone is left to refuse it.
type attack struct {
	why   string
	lines []string // a line's text, or "-" for a closed one
	says  string
}

const many = "9007199254740991"

var shapeAttacks = []attack{
	{"nothing", nil, "no line"},
	{"no whole value", []string{`["/a","v",1]`}, "the first line, and only it"},
	{"the whole value twice", []string{`["",{"object":[]}]`, `["","v",1]`}, "the first line, and only it"},
	{"the whole value second", []string{"-", `["",{"object":["a"]}]`}, "the first line, and only it"},
	{"a child of a closed whole", []string{"-", `["/a","v",1]`}, "what contains it is not"},
	{"a child of a closed container", []string{`["",{"object":["a"]}]`, "-", `["/a/b","v",1]`}, "what contains it is not"},
	{"a child of nothing", []string{`["",{"object":["a"]}]`, `["/a","v",1]`, `["/b/c","v",1]`}, "what contains it is not"},
	{"a forged key", []string{`["",{"object":["a"]}]`, `["/a","v",1]`, `["/b","v",2]`}, "not one that its container holds"},
	{"a child of a scalar", []string{`["",{"object":["a"]}]`, `["/a","v",1]`, `["/a/b","v",2]`}, "not one that its container holds"},
	{"a child of a scalar whole", []string{`["","v",1]`, `["/a","v",1]`}, "not one that its container holds"},
	{"a key of an array", []string{`["",{"array":1}]`, `["/a","v",1]`}, "not one that its container holds"},
	{"an element outside", []string{`["",{"array":1}]`, `["/0","v",1]`, `["/1","v",1]`}, "not one that its container holds"},
	{"an element with a leading zero", []string{`["",{"array":1}]`, `["/00","v",1]`}, "not one that its container holds"},
	{"an element minus", []string{`["",{"array":1}]`, `["/-","v",1]`}, "not one that its container holds"},
	{"an element with a plus", []string{`["",{"array":1}]`, `["/+0","v",1]`}, "not one that its container holds"},
	{"an empty element", []string{`["",{"array":1}]`, `["/","v",1]`}, "not one that its container holds"},
	{"no pointer", []string{`["",{"object":["a"]}]`, `["a","v",1]`}, "not a pointer"},
	{"a bad escape", []string{`["",{"object":["~2"]}]`, `["/~2","v",1]`}, "not one that its container holds"},
	{"an escape at the end", []string{`["",{"object":["~"]}]`, `["/~","v",1]`}, "not one that its container holds"},
	{"an escape twice", []string{`["",{"object":["/"]}]`, `["/~01","v",1]`}, "not one that its container holds"},
	{"a slash for its escape", []string{`["",{"object":["a/b"]}]`, `["/a/b","v",1]`}, "what contains it is not"},
	{"a missing field", []string{`["",{"object":["a","b"]}]`, `["/a","v",1]`}, `holds "/b", which has neither`},
	{"a missing element", []string{`["",{"array":2}]`, `["/0","v",1]`}, `holds "/1", which has neither`},
	{"an absent field's line before", []string{`["",{"object":["a","b"]}]`, "-", `["/a","v",1]`}, `holds "/b", which has neither`},
	{"an absent field's line behind", []string{`["",{"object":["a","b"]}]`, `["/b","v",1]`, "-"}, `holds "/a", which has neither`},
	{"one closed line for two fields", []string{`["",{"object":["a","b"]}]`, "-"}, "which has neither"},
	{"lines swapped", []string{`["",{"object":["a","b"]}]`, `["/b","v",1]`, `["/a","v",1]`}, "not in byte order"},
	{"a line twice", []string{`["",{"object":["a"]}]`, `["/a","v",1]`, `["/a","v",1]`}, "not in byte order"},
	{"a line twice, with another value", []string{`["",{"object":["a"]}]`, `["/a","v",1]`, `["/a","v",2]`}, "not in byte order"},
	{"array order for byte order", []string{`["",{"array":11}]`, `["/0","v",0]`, `["/1","v",1]`, `["/2","v",2]`, `["/10","v",10]`, "-", "-", "-", "-", "-", "-", "-"}, "not in byte order"},
	{"a closed line too many", []string{`["",{"object":["a"]}]`, `["/a","v",1]`, "-"}, "no container has a hidden field"},
	{"a closed line in an empty object", []string{`["",{"object":[]}]`, "-"}, "no container has a hidden field"},
	{"a closed line below a scalar", []string{`["","v",1]`, "-"}, "no container has a hidden field"},
	{"closed lines where the hidden field's cannot be", []string{`["",{"object":["a","z"]}]`, "-", `["/z","v",1]`, "-"}, "no container has a hidden field"},
	{"an array that claims more", []string{`["",{"array":` + many + `}]`}, "which has neither"},
	{"an array that claims more, with lines", []string{`["",{"array":` + many + `}]`, `["/0","v",1]`, "-", "-", "-"}, "which has neither"},
	{"an array that claims less", []string{`["",{"array":0}]`, `["/0","v",1]`}, "not one that its container holds"},
}

func (a *attack) disclosure() (receipt.Disclosure, receipt.Hash) {
	d := receipt.Disclosure{Index: 7}
	for i, text := range a.lines {
		if text == "-" {
			d.Lines = append(d.Lines, receipt.DisclosedLine{Digest: fixed(fmt.Sprint(i))})
			continue
		}
		salt := base64.StdEncoding.EncodeToString(make([]byte, 16))
		one := must(receipt.ParseDisclosure(fmt.Appendf(nil, `{"index":7,"lines":[["%s",%s]]}`, salt, text)))
		d.Lines = append(d.Lines, one.Lines...)
	}
	return d, sha256.Sum256(d.FieldsFile())
}

func TestDisclosuresAreShapedLikeAValue(t *testing.T) {
	for _, a := range shapeAttacks {
		d, commitment := a.disclosure()
		refuses(t, a.why, d.Verify(commitment), a.says)
	}
	for _, a := range []attack{
		{"hidden below what is hidden", []string{`["",{"object":["a","z"]}]`, "-", "-", "-", `["/z","v",1]`}, ""},
		{"hidden around a sibling that sorts between", []string{`["",{"object":["a","a!"]}]`, "-", `["/a!","v",1]`, "-"}, ""},
		{"a closed whole", []string{"-", "-", "-"}, ""},
		{"an empty key", []string{`["",{"object":[""]}]`, `["/",{"object":[""]}]`, `["//","v",1]`}, ""},
	} {
		d, commitment := a.disclosure()
		if err := d.Verify(commitment); err != nil {
			t.Errorf("%s: %v", a.why, err)
		}
	}
	deep := attack{why: "too deep"}
	for i := range strictjson.MaxDepth + 1 {
		deep.lines = append(deep.lines, fmt.Sprintf(`["%s",{"object":[""]}]`, strings.Repeat("/", i)))
	}
	d, commitment := deep.disclosure()
	refuses(t, deep.why, d.Verify(commitment), "nests deeper than 64")
}

func TestDisclosuresAreHeldToTheirCommitment(t *testing.T) {
	p, d := testDisclosure(t)
	commitment := p.commitment()
	line := must(d.Marshal())
	var changed int
	for i := range line {
		for _, mutant := range [][]byte{slices.Delete(slices.Clone(line), i, i+1), slices.Insert(slices.Clone(line), i, line[i]), slices.Insert(slices.Clone(line), i, ' '),
			slices.Replace(slices.Clone(line), i, i+1, line[i]^1), slices.Replace(slices.Clone(line), i, i+1, line[i]^0x20)} {
			if bytes.Equal(mutant, line) {
				continue
			}
			got, err := receipt.ParseDisclosure(mutant)
			if err != nil {
				continue
			}
			if again := must(got.Marshal()); !bytes.Equal(again, mutant) {
				t.Fatalf("%s is read, and prints as %s", mutant, again)
			}
			if changed++; got.Verify(commitment) == nil && got.Index == d.Index {
				t.Fatalf("%s opens the commitment of %s", mutant, line)
			}
		}
	}
	if changed < 50 {
		t.Errorf("only %d changes could be read at all", changed)
	}
	d.Lines[1], d.Lines[2] = d.Lines[2], d.Lines[1]
	refuses(t, "two lines swapped", d.Verify(commitment), "lead to the commitment")
}

var badDisclosures = []struct{ why, line, says string }{
	{"nothing", ``, ""},
	{"no lines", `{"index":7}`, `"lines" was expected`},
	{"lines first", `{"lines":[],"index":7}`, `"index" was expected`},
	{"an LF at the end", "{\"index\":7,\"lines\":[]}\n", "follow the end"},
	{"a salt alone", `{"index":7,"lines":[["SALT"]]}`, ""},
	{"a short salt", `{"index":7,"lines":[["AAAA",["","v",1]]]}`, ""},
	{"a space", `{"index":7,"lines":[["SALT", ["","v",1]]]}`, ""},
	{"a space in a number", `{"index":7,"lines":[["SALT",["","v",1 ]]]}`, ""},
	{"no number", `{"index":7,"lines":[["SALT",["","v",-]]]}`, "a scalar was expected"},
	{"a number with a leading zero", `{"index":7,"lines":[["SALT",["","v",01]]]}`, ""},
	{"a container as a value", `{"index":7,"lines":[["SALT",["","v",{}]]]}`, "a scalar was expected"},
	{"an array as a value", `{"index":7,"lines":[["SALT",["","v",[]]]]}`, "a scalar was expected"},
	{"a word", `{"index":7,"lines":[["SALT",["","v",nil]]]}`, ""},
	{"a needless escape", `{"index":7,"lines":[["SALT",["","v","\u0041"]]]}`, "RFC 8785"},
	{"another letter", `{"index":7,"lines":[["SALT",["","w",1]]]}`, ""},
	{"a third member", `{"index":7,"lines":[["SALT",["","v",1,2]]]}`, ""},
	{"keys not in order", `{"index":7,"lines":[["SALT",["",{"object":["b","a"]}]]]}`, "byte order"},
	{"a key twice", `{"index":7,"lines":[["SALT",["",{"object":["a","a"]}]]]}`, "byte order"},
	{"a key that is none", `{"index":7,"lines":[["SALT",["",{"object":[1]}]]]}`, ""},
	{"an array of its elements", `{"index":7,"lines":[["SALT",["",{"array":[1]}]]]}`, ""},
	{"a count with a leading zero", `{"index":7,"lines":[["SALT",["",{"array":01}]]]}`, ""},
	{"a count over 2^53-1", `{"index":7,"lines":[["SALT",["",{"array":9007199254740992}]]]}`, ""},
	{"a closed line that is short", `{"index":7,"lines":["AAAA"]}`, ""},
	{"a closed line that is null", `{"index":7,"lines":[null]}`, ""},
	{"too many lines", `{"index":7,"lines":[MANY]}`, "more than 4096"},
	{"a long pointer", `{"index":7,"lines":[["SALT",["LONG","v",1]]]}`, "at most 4096"},
}

func badDisclosure(line string) string {
	digest := base64.StdEncoding.EncodeToString(make([]byte, 32))
	r := strings.NewReplacer("SALT", base64.StdEncoding.EncodeToString(make([]byte, 16)), "LONG", strings.Repeat("/", receipt.MaxPointerBytes+1),
		"MANY", strings.TrimSuffix(strings.Repeat(`"`+digest+`",`, receipt.MaxFields+1), ","))
	return r.Replace(line)
}

func TestDisclosuresAreStrict(t *testing.T) {
	for _, tt := range badDisclosures {
		_, err := receipt.ParseDisclosure([]byte(badDisclosure(tt.line)))
		refuses(t, tt.why, err, tt.says)
	}
}

// Four thousand arrays that each claim to hold four thousand elements, and the same with
// a billion: what is refused is refused at once.
func TestLyingDisclosuresAreCheap(t *testing.T) {
	for _, count := range []string{"4095", many} {
		var b strings.Builder
		b.WriteString(`{"index":7,"lines":[`)
		salt := base64.StdEncoding.EncodeToString(make([]byte, 16))
		fmt.Fprintf(&b, `["%s",["",{"array":%s}]]`, salt, count)
		pointers := make([]string, 4095)
		for i := range pointers {
			pointers[i] = fmt.Sprintf("/%d", i)
		}
		slices.Sort(pointers)
		for _, p := range pointers {
			fmt.Fprintf(&b, `,["%s",["%s",{"array":%s}]]`, salt, p, count)
		}
		b.WriteString("]}")
		start := time.Now()
		d := must(receipt.ParseDisclosure([]byte(b.String())))
		err := d.Verify(sha256.Sum256(d.FieldsFile()))
		refuses(t, "arrays that lie", err, "which has neither")
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	}
}
