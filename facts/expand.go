package facts

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// fields expands a word as bash does, in its order: braces, tilde, parameters and
// substitutions, then splitting. Globs stay, as star, mark and bracket.
func (w *follower) fields(x *syntax.Word, p place) []value {
	if lit := plainLit(x); lit != "" {
		return []value{{text: lit}}
	}
	b := builder{w: w, p: p, splits: true}
	if !syntax.SplitBraces(x) && !slices.ContainsFunc(x.Parts, isBraces) { // a loop's body is split once and expanded often
		b.parts(x.Parts)
		return b.done()
	}
	w.labour(maxBraces)
	room := maxBraces
	all := braced(x.Parts, &room)
	if room < 0 {
		w.unknown("braces that make too many words")
		return []value{{text: anything}}
	}
	for _, parts := range all {
		b.parts(parts)
		b.flush()
	}
	return b.done()
}

func isBraces(part syntax.WordPart) bool { _, ok := part.(*syntax.BraceExp); return ok }

// plainLit is the word when it is one literal that means itself.
func plainLit(x *syntax.Word) string {
	if len(x.Parts) != 1 {
		return ""
	}
	lit, ok := x.Parts[0].(*syntax.Lit)
	if !ok || strings.ContainsAny(lit.Value, "\\*?[~{") {
		return ""
	}
	return lit.Value
}

// single expands a word that is not split: an assignment's, a redirection's, a
// here-document's.
func (w *follower) single(x *syntax.Word, p place) value {
	if x == nil {
		return value{}
	}
	b := builder{w: w, p: p}
	b.parts(x.Parts)
	return b.value()
}

// here expands the body of a here-document.
func (w *follower) here(r *syntax.Redirect, p place) value {
	if r.Hdoc == nil {
		return value{}
	}
	raw := r.Word.Lit() == "" || strings.Contains(r.Word.Lit(), `\`) // a quote in the delimiter
	b := builder{w: w, p: p}
	for _, part := range r.Hdoc.Parts {
		if lit, ok := part.(*syntax.Lit); ok && raw {
			b.lit(lit.Value)
			continue
		}
		b.part(part, false, true)
	}
	return b.value()
}

// braced makes the lists of parts that braces stand for. room is what is left of the
// words that may be made; below zero it is too much.
func braced(parts []syntax.WordPart, room *int) [][]syntax.WordPart {
	for i, part := range parts {
		be, ok := part.(*syntax.BraceExp)
		if !ok {
			continue
		}
		var alts [][]syntax.WordPart
		if be.Sequence {
			alts = sequence(be, room)
		} else {
			for _, e := range be.Elems {
				alts = append(alts, braced(e.Parts, room)...)
			}
		}
		rest := braced(parts[i+1:], room)
		if len(alts)*len(rest) > maxBraces || *room < 0 {
			*room = -1
			return nil
		}
		var out [][]syntax.WordPart
		for _, a := range alts {
			for _, r := range rest {
				out = append(out, slices.Concat(parts[:i], a, r))
			}
		}
		return out
	}
	return [][]syntax.WordPart{parts}
}

// sequence is {1..3} and {a..c}.
func sequence(be *syntax.BraceExp, room *int) (out [][]syntax.WordPart) {
	from, to := be.Elems[0].Lit(), be.Elems[1].Lit()
	step := 1
	if len(be.Elems) > 2 {
		step, _ = strconv.Atoi(be.Elems[2].Lit())
	}
	step = max(step, -step, 1)
	a, err := strconv.Atoi(from)
	b, err2 := strconv.Atoi(to)
	letters := err != nil || err2 != nil
	if letters {
		if len(from) != 1 || len(to) != 1 {
			*room = -1
			return nil
		}
		a, b = int(from[0]), int(to[0])
	}
	if a > b {
		step = -step
	}
	if (b-a)/step >= maxBraces || (b-a)/step < 0 {
		*room = -1
		return nil
	}
	for i := a; step > 0 && i <= b || step < 0 && i >= b; i += step {
		s := strconv.Itoa(i)
		if letters {
			s = string(rune(i))
		}
		out = append(out, []syntax.WordPart{&syntax.Lit{Value: s}})
	}
	return out
}

// A builder makes the fields of one word.
type builder struct {
	w      *follower
	p      place
	splits bool // expansions are split, and make patterns
	out    []value
	text   []byte
	taint  taint
	there  bool // the field that is begun counts even when it is empty
}

func (b *builder) lit(s string) { b.text = append(b.text, s...); b.there = b.there || s != "" }

func (b *builder) flush() {
	if b.there {
		b.w.labour(1 + len(b.text)/32)
		b.out = append(b.out, value{bounded(string(b.text)), b.taint})
	}
	b.text, b.there = nil, false
}

func (b *builder) done() []value { b.flush(); return b.out }

func (b *builder) value() value {
	b.w.labour(1 + len(b.text)/32)
	return value{bounded(string(b.text)), b.taint}
}

// labour counts words and what they hold, against maxLabour: over it nothing is followed any more.
func (w *follower) labour(n int) {
	if w.labours += n; w.labours > maxLabour {
		w.steps = MaxShellSteps
	}
}

// bounded is s, or anything where that is longer than what is remembered. A text that
// the command line itself holds whole is always remembered.
func bounded(s string) string {
	if len(s) > MaxShellBytes {
		return anything
	}
	return s
}

func (b *builder) parts(parts []syntax.WordPart) {
	for i, part := range parts {
		b.part(part, i == 0, false)
	}
}

func (b *builder) part(part syntax.WordPart, first, quoted bool) {
	switch x := part.(type) {
	case *syntax.Lit:
		if quoted {
			b.quotedLit(x.Value)
		} else {
			b.bareLit(x.Value, first)
		}
	case *syntax.SglQuoted:
		b.there = true
		if x.Dollar {
			b.lit(ansiC(x.Value))
		} else {
			b.lit(x.Value)
		}
	case *syntax.DblQuoted:
		b.there = true
		for _, inner := range x.Parts {
			b.part(inner, false, true)
		}
	case *syntax.ExtGlob:
		b.lit(star)
		if strings.ContainsAny(x.Pattern.Value, "$`") {
			b.w.unknown("a glob holds code")
		}
	case *syntax.CmdSubst:
		b.add(b.w.printed(x.Stmts, b.p), quoted)
	case *syntax.ProcSubst:
		b.lit(b.w.pipe(x, b.p))
	case *syntax.ArithmExp:
		b.add(b.w.arithmetic(x.X, b.p), quoted)
	case *syntax.ParamExp:
		list, join := b.w.parameter(x, b.p)
		for i, v := range list {
			switch {
			case i == 0:
			case !b.splits:
				b.text = append(b.text, ' ')
			case join && quoted: // by the first of IFS
				b.text = append(b.text, cut(b.w.ifs(), 1)...)
			default:
				b.flush()
			}
			b.add(v, quoted)
		}
	default:
		b.lit(anything)
		b.w.unknown("a kind of word that is not known")
	}
}

// quotedLit adds what stands within double quotes: POSIX XCU 2.2.3.
func (b *builder) quotedLit(s string) {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.text = append(b.text, s[i])
	}
	b.there = true
}

// bareLit adds what stands outside of quotes.
func (b *builder) bareLit(s string, first bool) {
	if rest, ok := strings.CutPrefix(s, "~"); ok && first {
		name, tail, slash := strings.Cut(rest, "/")
		switch {
		case name == "":
			b.text = append(b.text, home...)
		case name == "+":
			b.text = append(b.text, b.w.dirs[0]...)
		case name == "-":
			b.text = append(b.text, some...)
		case name == "root":
			b.text = append(b.text, "/root"...)
		default:
			b.text = append(append(b.text, "/home/"...), name...)
		}
		b.there = true
		if s = ""; slash {
			s = "/" + tail
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		b.there = true
		switch {
		case c == '\\' && i+1 < len(s):
			if i++; s[i] != '\n' {
				b.text = append(b.text, s[i])
			}
			continue
		case !b.splits:
		case c == '*':
			c = star[0]
		case c == '?':
			c = mark[0]
		case c == '[' && strings.IndexByte(s[i:], ']') > 0:
			c = bracket[0]
		}
		b.text = append(b.text, c)
	}
}

// add adds the value of an expansion, which outside of quotes is split and may be a pattern.
func (b *builder) add(v value, quoted bool) {
	b.taint |= v.taint
	if quoted {
		b.there = true
	}
	if quoted || !b.splits {
		b.lit(v.text)
		return
	}
	between := b.w.ifs()
	for i, field := range strings.FieldsFunc(v.text, func(r rune) bool { return strings.ContainsRune(between, r) }) {
		if i > 0 || i == 0 && b.there && v.text != "" && strings.IndexByte(between, v.text[0]) >= 0 {
			b.flush()
			b.taint |= v.taint
		}
		b.lit(quoting.Replace(field))
	}
	if n := len(v.text); n > 0 && strings.IndexByte(between, v.text[n-1]) >= 0 {
		b.flush()
	}
}

// ansiC decodes $'...'. What is one of the bytes that values give a meaning, is not
// kept: no program is called by it.
func ansiC(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		digits := func(most, base int) (rune, bool) {
			n := 0
			for n < most && i+1+n < len(s) && isHex(s[i+1+n]) {
				n++
			}
			v, err := strconv.ParseUint(s[i+1:i+1+n], base, 32)
			i += n
			return rune(v), err == nil
		}
		var r rune
		ok := true
		switch c := s[i]; c {
		case 'a':
			r = '\a'
		case 'b':
			r = '\b'
		case 'e', 'E':
			r = 0x1b
		case 'f':
			r = '\f'
		case 'n':
			r = '\n'
		case 'r':
			r = '\r'
		case 't':
			r = '\t'
		case 'v':
			r = '\v'
		case 'x':
			r, ok = digits(2, 16)
			if ok && r >= 0x80 {
				b.WriteByte(byte(r))
				continue
			}
		case 'u':
			r, ok = digits(4, 16)
		case 'U':
			r, ok = digits(8, 16)
		case 'c':
			if i+1 < len(s) {
				i++
				r = rune(s[i] & 0x1f)
			}
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 0
			for n < 3 && i+n < len(s) && '0' <= s[i+n] && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 16)
			i += n - 1
			r = rune(v & 0xff)
		default: // \\ \' \" \?
			if c != '\\' && c != '\'' && c != '"' && c != '?' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			continue
		}
		switch {
		case !ok:
			b.WriteString(anything)
		case r == 0: // bash ends the text here
			return b.String()
		case r <= 0x05:
			b.WriteString(some)
		case r < 0x80 || s[i-1] != 'x':
			b.WriteRune(r)
		}
	}
	return strings.ToValidUTF8(b.String(), some)
}

// parameter expands $x in all its forms. join says that its values are one word.
func (w *follower) parameter(x *syntax.ParamExp, p place) (list []value, join bool) {
	dunno := []value{{text: anything}}
	if x.Param == nil || x.Flags != nil || x.NestedParam != nil || len(x.Modifiers) > 0 || x.IsSet || x.Width {
		w.unknown("an expansion that is zsh's")
		return dunno, true
	}
	name := x.Param.Value
	switch {
	case x.Names != 0:
		return dunno, true
	case x.Excl:
		list, ok := w.variable(name, p)
		if !ok || len(list) != 1 || !list[0].known() || !isName(list[0].text) {
			w.unknown("a variable names another variable")
			return dunno, true
		}
		name = list[0].text
	}
	list, set := w.variable(name, p)
	join = name == "*"
	switch index := x.Index.(type) {
	case nil:
		if len(list) > 1 && name != "@" && name != "*" && !p.zsh { // an array without a subscript is its first
			list = list[:1]
		}
	case *syntax.Word:
		switch i := index.Lit(); {
		case i == "@":
		case i == "*":
			join = true
		case isNumber(i) && i[0] != '-':
			n, _ := strconv.Atoi(i)
			if n >= len(list) {
				list = []value{{}}
				if !set {
					list = dunno
				}
			} else {
				list = list[n : n+1]
			}
		default:
			v := w.arithmetic(x.Index, p)
			n, err := strconv.Atoi(v.text)
			if err != nil || n < 0 || n >= len(list) {
				list = dunno
			} else {
				list = list[n : n+1]
			}
		}
	default:
		w.arithmetic(x.Index, p)
		list = dunno
	}
	if !set && !x.Length && (x.Exp == nil || x.Exp.Op > syntax.DefaultUnsetOrNull) {
		w.secretVariable(name)
	}
	if x.Length {
		if set && len(list) == 1 && list[0].known() {
			return []value{exactly(strconv.Itoa(utf8.RuneCountInString(list[0].text)))}, true
		}
		return []value{{text: some}}, true
	}
	if x.Exp != nil && x.Exp.Op <= syntax.AssignUnsetOrNull && x.Exp.Op >= syntax.AlternateUnset {
		return w.unset(x, name, list, set, p), join
	}
	out := make([]value, len(list))
	for i, v := range list {
		out[i] = w.operate(x, name, v, p)
	}
	return out, join
}

// unset is ${x:-y} and its like.
func (w *follower) unset(x *syntax.ParamExp, name string, list []value, set bool, p place) []value {
	empty := set && (len(list) == 0 || len(list) == 1 && list[0].text == "")
	switch x.Exp.Op {
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if empty {
			return nil
		}
		v := w.single(x.Exp.Word, p)
		if !set {
			v.taint |= fallback
		}
		return []value{v}
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		w.single(x.Exp.Word, p)
		if !set || empty {
			return []value{{text: some}}
		}
		return list
	}
	v := w.single(x.Exp.Word, p)
	if set && !empty {
		return list
	}
	if !set {
		v.taint |= fallback
	}
	if x.Exp.Op == syntax.AssignUnset || x.Exp.Op == syntax.AssignUnsetOrNull {
		w.decisive(name)
		w.set(name, [][]value{{v}}, false)
	}
	return []value{v}
}

// operate is ${x:1:2}, ${x/a/b}, ${x#y}, ${x^^} and ${x@U} of one value.
func (w *follower) operate(x *syntax.ParamExp, name string, v value, p place) value {
	dunno := value{anything, v.taint}
	switch {
	case x.Slice != nil:
		from, err := strconv.Atoi(w.arithmetic(x.Slice.Offset, p).text)
		n := -1
		if x.Slice.Length != nil {
			var err2 error
			if n, err2 = strconv.Atoi(w.arithmetic(x.Slice.Length, p).text); err2 != nil || n < 0 {
				return dunno
			}
		}
		switch {
		case err != nil:
			return dunno
		case from == 0 && n == 1 && (strings.HasPrefix(v.text, home) || name == "PATH" || name == "PWD"):
			return exactly("/")
		case !v.known():
			return dunno
		}
		runes := []rune(v.text)
		if from < 0 {
			from += len(runes)
		}
		if from < 0 || from > len(runes) {
			return value{"", v.taint}
		}
		if n < 0 || from+n > len(runes) {
			n = len(runes) - from
		}
		return value{string(runes[from : from+n]), v.taint}
	case x.Repl != nil:
		old, new := w.pattern(x.Repl.Orig, p), w.single(x.Repl.With, p)
		anchor := ""
		if old.text != "" && (old.text[0] == '#' || old.text[0] == '%') {
			anchor, old.text = old.text[:1], old.text[1:]
		}
		if !v.known() || !old.known() {
			return dunno
		}
		taint := v.taint | new.taint
		switch {
		case anchor == "#":
			if rest, ok := strings.CutPrefix(v.text, old.text); ok {
				return value{new.text + rest, taint}
			}
		case anchor == "%":
			if rest, ok := strings.CutSuffix(v.text, old.text); ok {
				return value{rest + new.text, taint}
			}
		case old.text == "":
		case x.Repl.All:
			if strings.Count(v.text, old.text)*len(new.text) > maxText {
				return dunno
			}
			return value{strings.ReplaceAll(v.text, old.text, new.text), taint}
		default:
			return value{strings.Replace(v.text, old.text, new.text, 1), taint}
		}
		return v
	case x.Exp == nil:
		return v
	}
	switch op := x.Exp.Op; op {
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		pat := w.pattern(x.Exp.Word, p)
		if !v.known() || pat.open() || len(v.text) > 256 || len(pat.text) > 64 {
			return dunno
		}
		w.labour(len(v.text) * len(pat.text) / 8)
		return value{trimmed(v.text, pat.text, op), v.taint}
	case syntax.UpperAll:
		return value{strings.ToUpper(v.text), v.taint}
	case syntax.LowerAll:
		return value{strings.ToLower(v.text), v.taint}
	case syntax.UpperFirst, syntax.LowerFirst:
		r, n := utf8.DecodeRuneInString(v.text)
		if r = unicode.ToLower(r); op == syntax.UpperFirst {
			r = unicode.ToUpper(r)
		}
		if n == 0 {
			return v
		}
		return value{string(r) + v.text[n:], v.taint}
	case syntax.OtherParamOps:
		switch x.Exp.Word.Lit() {
		case "U":
			return value{strings.ToUpper(v.text), v.taint}
		case "L":
			return value{strings.ToLower(v.text), v.taint}
		case "E":
			return value{ansiC(v.text), v.taint}
		case "Q", "A", "a", "K", "k":
			return dunno
		}
		w.unknown("an expansion with @ may run what the variable holds")
	}
	return dunno
}

// pattern expands a word that is a pattern.
func (w *follower) pattern(x *syntax.Word, p place) value {
	if x == nil {
		return value{}
	}
	b := builder{w: w, p: p, splits: true}
	b.parts(x.Parts)
	var all value
	for _, v := range b.done() {
		all.text += v.text
		all.taint |= v.taint
	}
	return all
}

func trimmed(s, pattern string, op syntax.ParExpOperator) string {
	for i := range len(s) + 1 {
		switch op {
		case syntax.RemSmallPrefix:
			if matches(pattern, s[:i]) {
				return s[i:]
			}
		case syntax.RemLargePrefix:
			if n := len(s) - i; matches(pattern, s[:n]) {
				return s[n:]
			}
		case syntax.RemSmallSuffix:
			if n := len(s) - i; matches(pattern, s[n:]) {
				return s[:n]
			}
		case syntax.RemLargeSuffix:
			if matches(pattern, s[i:]) {
				return s[:i]
			}
		}
	}
	return s
}

// variable returns the values of a variable or parameter, and whether the text says them.
func (w *follower) variable(name string, p place) ([]value, bool) {
	switch {
	case name == "@" || name == "*":
		if !w.given {
			return []value{{text: anything}}, false
		}
		return w.params, true
	case name == "#":
		return []value{exactly(strconv.Itoa(len(w.params)))}, w.given
	case isNumber(name) && name[0] != '-':
		n, _ := strconv.Atoi(name)
		if n == 0 { // 00 too
			return []value{w.zero}, true
		}
		if !w.given {
			return []value{{text: anything}}, false
		}
		if n > len(w.params) {
			return []value{{}}, true
		}
		return w.params[n-1 : n], true
	}
	if alts := w.vars[name]; len(alts) > 0 {
		w.alts = max(w.alts, len(alts))
		return alts[min(w.alt, len(alts)-1)], true
	}
	switch name {
	case "HOME":
		return []value{exactly(home)}, true
	case "PWD":
		return []value{exactly(w.dirs[0])}, true
	case "IFS":
		return []value{exactly(" \t\n")}, true
	case "SHELL", "BASH":
		return []value{exactly("/bin/bash")}, true
	case "?", "$", "!", "-", "PPID", "UID", "EUID", "RANDOM", "LINENO", "SECONDS", "BASHPID":
		return []value{{text: some}}, true
	case "PATH":
		return []value{{text: "/" + some}}, true
	}
	return []value{{text: anything}}, false
}

// ifs is what splits fields.
func (w *follower) ifs() string {
	if alts := w.vars["IFS"]; len(alts) == 1 && len(alts[0]) == 1 && alts[0][0].known() {
		return alts[0][0].text
	}
	return " \t\n"
}

// set gives a variable values: each of alts is what it may be, as a list. Where it is not
// sure to be set, what it was stays possible.
func (w *follower) set(name string, alts [][]value, maybe bool) {
	if w.vars == nil {
		w.vars = map[string][][]value{}
	}
	if !maybe {
		w.vars[name] = clipped(alts)
		return
	}
	old, ok := w.vars[name]
	if !ok {
		old = [][]value{{{text: anything}}}
	}
	all := slices.Clone(old)
	for _, a := range alts {
		if !slices.ContainsFunc(all, func(b []value) bool { return slices.Equal(a, b) }) {
			all = append(all, a)
		}
	}
	w.vars[name] = clipped(all)
}

func clipped(alts [][]value) [][]value {
	if len(alts) > maxAlternatives {
		return append(alts[:maxAlternatives-1:maxAlternatives-1], []value{{text: anything}})
	}
	return alts
}

// alternately calls do for each value that the variables it reads may have.
func (w *follower) alternately(do func()) {
	alt, alts := w.alt, w.alts
	n := 1
	for i := 0; i < n; i++ {
		w.alt, w.alts = i, 1
		do()
		n = max(n, min(w.alts, maxAlternatives))
	}
	w.alt, w.alts = alt, alts
}

// arithmetic evaluates what it can. Bash takes the text that a variable holds for an
// expression again, and "a[$(reboot)]" is one.
func (w *follower) arithmetic(x syntax.ArithmExpr, p place) value {
	dunno := value{text: some}
	switch x := x.(type) {
	case nil:
		return value{}
	case *syntax.ParenArithm:
		return w.arithmetic(x.X, p)
	case *syntax.UnaryArithm:
		v := w.arithmetic(x.X, p)
		n, err := strconv.Atoi(v.text)
		switch {
		case err != nil:
		case x.Op == syntax.Minus:
			return exactly(strconv.Itoa(-n))
		case x.Op == syntax.Plus:
			return v
		case x.Op == syntax.Inc || x.Op == syntax.Dec:
			if word, ok := x.X.(*syntax.Word); ok {
				w.set(word.Lit(), [][]value{{dunno}}, true)
			}
		}
	case *syntax.BinaryArithm:
		a, err := strconv.Atoi(w.arithmetic(x.X, p).text)
		b, err2 := strconv.Atoi(w.arithmetic(x.Y, p).text)
		if err != nil || err2 != nil {
			return dunno
		}
		switch x.Op {
		case syntax.Add:
			return exactly(strconv.Itoa(a + b))
		case syntax.Sub:
			return exactly(strconv.Itoa(a - b))
		case syntax.Mul:
			return exactly(strconv.Itoa(a * b))
		case syntax.Quo, syntax.Rem:
			switch {
			case b == 0:
			case x.Op == syntax.Quo:
				return exactly(strconv.Itoa(a / b))
			default:
				return exactly(strconv.Itoa(a % b))
			}
		}
	case *syntax.Word:
		v := w.single(x, p)
		if isName(v.text) {
			list, set := w.variable(v.text, p)
			if len(list) == 0 || !set && !list[0].known() {
				return dunno
			}
			v = list[0]
		}
		if isNumber(v.text) {
			return v
		}
		switch {
		case strings.ContainsAny(v.text, "$`"):
			w.code(": $(("+v.source()+"))", p)
		case v.taint&(printed|fetched) != 0:
			w.unknown("arithmetic on what a command printed")
		}
	}
	return dunno
}

// subscript follows the subscript of a variable's name, which bash evaluates once more
// where a builtin takes the name.
func (w *follower) subscript(name value) {
	if strings.ContainsAny(name.text, "[$`") {
		w.unknown("the name of a variable has a subscript")
	}
}

// decisive notes a variable that decides what runs.
func (w *follower) decisive(name string) {
	if name != "IFS" && name != "SHELL" && name != "PS1" && name != "CDPATH" &&
		(decisive[name] || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_") || strings.HasPrefix(name, "BASH_FUNC_")) {
		w.unknown("the variable " + name + " decides what a command's name means")
	}
}
