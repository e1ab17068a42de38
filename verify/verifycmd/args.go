package verifycmd

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// What the command is told to do, by its first argument. A pack is verified where it
// is none of these.
const (
	wordPack    = ""
	wordList    = "list"
	wordReceipt = "receipt"
	wordShow    = "show"
	wordHelp    = "help"
	wordVersion = "version"
)

// needed are the arguments that follow each word.
var needed = map[string][]string{
	wordPack:    {"PACK"},
	wordList:    {"PACK"},
	wordReceipt: {"FILE"},
	wordShow:    {"PACK", "INDEX"},
	wordHelp:    nil,
	wordVersion: nil,
}

type flags struct {
	word                string
	trust, since, call  string
	approvers           string
	expect              *verify.Expectation
	partial, full, json bool
	part                string // of show
	files               []string
}

// parse reads flags and files in any order.
func (c *Command) parse() (*flags, error) {
	f := new(flags)
	s := flag.NewFlagSet("", flag.ContinueOnError)
	s.SetOutput(io.Discard)
	s.StringVar(&f.trust, "trust", "", "")
	s.StringVar(&f.since, "since-checkpoint", "", "")
	s.StringVar(&f.call, "call", "", "")
	s.StringVar(&f.approvers, "approvers", "", "")
	s.BoolVar(&f.partial, "allow-partial", false, "")
	s.BoolVar(&f.full, "full", false, "")
	expected := map[string]bool{}
	s.Func("expect", "", func(v string) error { return f.addExpected(v, expected) })
	for _, part := range parts {
		s.BoolFunc(part, "", func(string) error {
			if f.part != "" {
				return fmt.Errorf("one part at a time, and --%s stands before", f.part)
			}
			f.part = part
			return nil
		})
	}
	help, version := s.Bool("help", false, ""), s.Bool("version", false, "")
	s.BoolVar(help, "h", false, "")
	if c.Flags != nil {
		c.Flags(s)
	}
	if s.Lookup("json") == nil {
		s.Bool("json", false, "")
	}
	files, err := readArgs(s, c.Args)
	switch {
	case *help:
		return &flags{word: wordHelp}, nil
	case err != nil:
		return nil, err
	case *version:
		files = []string{wordVersion}
	}
	f.json = s.Lookup("json").Value.String() == "true"
	if len(files) > 0 && files[0] != wordPack {
		if _, ok := needed[files[0]]; ok {
			f.word, files = files[0], files[1:]
		}
	}
	f.files = files
	return f, f.check()
}

// readArgs sets flags, and returns what is none.
func readArgs(s *flag.FlagSet, args []string) (files []string, err error) {
	seen := map[string]bool{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return append(files, args...), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			files = append(files, arg)
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		fl := s.Lookup(name)
		if fl == nil {
			var known []string
			s.VisitAll(func(f *flag.Flag) { known = append(known, "--"+f.Name) })
			return files, wrongUsage("there is no flag %.60q%s", arg, meant("--"+name, known))
		}
		b, ok := fl.Value.(interface{ IsBoolFlag() bool })
		isBool := ok && b.IsBoolFlag()
		switch {
		case isBool && !given:
			value = "true"
		case isBool && value != "true" && value != "false":
			return files, wrongUsage("--%s is true or false, not %.60q", name, value)
		case isBool || given:
		case len(args) == 0:
			return files, wrongUsage("--%s needs a value", name)
		default:
			value, args = args[0], args[1:]
		}
		if value == "" {
			return files, wrongUsage("--%s needs a value, and is given none", name)
		}
		if seen[name] && !isBool && name != "expect" {
			return files, wrongUsage("--%s is given twice", name)
		}
		seen[name] = true
		if err := fl.Value.Set(value); err != nil {
			return files, wrongUsage("--%s: %w", name, err)
		}
	}
	return files, nil
}

// check refuses what does not go together.
func (f *flags) check() error {
	need := needed[f.word]
	word := strings.TrimLeft(f.word+" ", " ")
	switch {
	case len(f.files) < len(need):
		return wrongUsage("%s is missing: %s%s", need[len(f.files)], word, strings.Join(need, " "))
	case len(f.files) > len(need):
		return wrongUsage("%.60q is one argument too many%s", f.files[len(need)], meant(f.files[0], []string{wordList, wordReceipt, wordShow, wordVersion}))
	case f.word == wordShow && f.part == "":
		return wrongUsage("show needs to know which part: --%s", strings.Join(parts, ", --"))
	case f.word != wordShow && f.part != "":
		return wrongUsage("--%s is a part for show", f.part)
	case f.word != wordReceipt && f.call != "":
		return wrongUsage("--call belongs to a receipt: receipt FILE --call CALL")
	case f.word != wordList && f.full:
		return wrongUsage("--full belongs to a list: list PACK --full")
	case f.expect != nil && f.expect.Session != "" && f.expect.Agent == "":
		return wrongUsage("--expect: a session is one of an agent: name the agent too")
	}
	return nil
}

// addExpected adds KEY=VALUE,... to what is expected.
func (f *flags) addExpected(s string, seen map[string]bool) error {
	if f.expect == nil {
		f.expect = new(verify.Expectation)
	}
	e := f.expect
	for _, kv := range strings.Split(s, ",") {
		k, v, _ := strings.Cut(kv, "=")
		if seen[k] {
			return fmt.Errorf("%s is named twice", k)
		}
		seen[k] = true
		var err error
		switch k {
		case "agent":
			e.Agent, err = v, helm.CheckName(k, v)
		case "session":
			e.Session, err = v, helm.CheckName(k, v)
		case "since":
			e.Since, err = parseTime(v)
		case "until":
			e.Until, err = parseTime(v)
		default:
			keys := []string{"agent", "session", "since", "until"}
			err = fmt.Errorf("%.60q is not one of %s%s", k, strings.Join(keys, ", "), meant(k, keys))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseTime reads RFC 3339; what is asked for need not have six decimals.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		err = fmt.Errorf("%.60q is not a time such as 2026-01-02T15:04:05Z", s)
	}
	return t.UTC(), err
}

// meant is what a message says of a word that is not known: which known one it
// resembles, if any.
func meant(word string, known []string) string {
	letters := len(strings.TrimLeft(word, "-"))
	for _, k := range known {
		if d := distance(word[:min(len(word), 60)], k); d <= 2 && 2*d < letters {
			return "; did you mean " + strconv.Quote(k) + "?"
		}
	}
	return ""
}

// distance is how many letters must be put in, left out or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
