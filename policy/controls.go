package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Control is a requirement of a framework, such as "SOC 2 CC6.1", with the rules that
// serve it; a budget stands there as "budget:ID".
type Control struct {
	Name  string   `json:"control"`
	Rules []string `json:"rules"`
}

// MaxControlBytes is the limit of a control's name.
const MaxControlBytes = 100

// frameworks are those whose references have a form.
var frameworks = []struct {
	prefix string
	form   *regexp.Regexp
	like   string
}{
	{"EU AI Act", regexp.MustCompile(`^EU AI Act (Art[.] [1-9][0-9]*([(][0-9a-z]+[)])*|Annex [IVX]+)$`), "EU AI Act Art. 12, EU AI Act Art. 26(6)"},
	{"SOC 2", regexp.MustCompile(`^SOC 2 (CC|A|C|PI|P)[0-9]+[.][0-9]+$`), "SOC 2 CC6.1"},
	{"HIPAA", regexp.MustCompile(`^HIPAA 16[0-4][.][0-9]{3}([(][0-9a-z]+[)])*$`), "HIPAA 164.312(b)"},
	{"SEC 17", regexp.MustCompile(`^SEC 17a-[0-9]+([(][0-9a-z]+[)])*$`), "SEC 17a-4(f)"},
	{"ISO 42001", regexp.MustCompile(`^ISO 42001 (A[.])?[0-9]+([.][0-9]+)*$`), "ISO 42001 A.6.2.8"},
}

// Controls reads from the comments right above rules and budgets which controls they
// serve:
//
//	# controls: SOC 2 CC6.1; HIPAA 164.312(a)(1)
//
// It returns them by name, and the rules and budgets that name none. The file must be
// right otherwise: the error is an *Error.
func Controls(name string, src []byte) (all []Control, without []string, err error) {
	s := &source{name: name, text: slices.Clone(src)}
	p, f := s.compile()
	if p == nil {
		return nil, nil, s.err()
	}
	by := map[string][]string{}
	add := func(path, id string) {
		names := s.controls(path)
		for _, c := range names {
			by[c] = append(by[c], id)
		}
		if len(names) == 0 {
			without = append(without, id)
		}
	}
	for _, r := range f.rules {
		add(r.path, r.id)
	}
	for i := range f.budgets {
		add(f.budgets[i].path, f.budgets[i].Rule())
	}
	if err := s.err(); err != nil {
		return nil, nil, err
	}
	for c, rules := range by {
		all = append(all, Control{c, sorted(rules)})
	}
	slices.SortFunc(all, func(a, b Control) int { return strings.Compare(a.Name, b.Name) })
	return all, sorted(without), nil
}

// controls reads the comments right above the table at path.
func (s *source) controls(path string) (names []string) {
	lines := strings.Split(string(s.text), "\n")
	at, _, _ := s.position(s.keyOffset(path))
	found := false
	for i := at - 2; i >= 0 && strings.HasPrefix(strings.TrimSpace(lines[i]), "#"); i-- {
		text, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(lines[i]), "#")), "controls:")
		if !ok {
			continue
		}
		report := func(format string, a ...any) { s.at(s.offset(i+1, 1), fmt.Sprintf(format, a...), "") }
		if found {
			report("a second line of controls for the same table")
		}
		found = true
		for one := range strings.SplitSeq(text, ";") {
			one = strings.Join(strings.Fields(one), " ")
			switch {
			case one == "":
				report("a control without a name")
			case len(one) > MaxControlBytes || printable(one) != one:
				report("a control's name has at most %d bytes, and no control characters", MaxControlBytes)
			case slices.Contains(names, one):
				report("the control %q is named twice", one)
			}
			for _, f := range frameworks {
				if strings.HasPrefix(strings.ToLower(one), strings.ToLower(f.prefix)) && !f.form.MatchString(one) {
					report("%q is no reference to %s: it is written as in %s", one, f.prefix, f.like)
				}
			}
			names = append(names, one)
		}
	}
	return names
}
