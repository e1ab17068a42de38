package facts

import (
	"regexp"
	"strings"
)

// language follows an interpreter of another language: code that stands in the text, comes
// over its input or lies in a file that the text itself writes.
func (w *follower) language(name string, lang language, args []value, p place) {
	if p.net {
		w.out.FetchToInterpreter = true
	}
	for i := 1; i < len(args); i++ {
		a := args[i].text
		switch {
		case args[i].open() && args[i].text == anything:
			w.unknown("what " + name + " runs is known only then")
			if args[i].taint&fetched != 0 {
				w.out.FetchToInterpreter = true
			}
			return
		case isStdin(a):
			w.foreignInput(name, p)
			return
		case strings.HasPrefix(a, "--"):
			switch option, code, attached := strings.Cut(a, "="); {
			case (option == "--eval" || option == "--print") && attached:
				w.foreign(name, value{code, args[i].taint}, p)
			case (option == "--eval" || option == "--print") && i+1 < len(args):
				w.foreign(name, args[i+1], p)
			case len(args) == 2 && (a == "--version" || a == "--help"):
			default:
				continue
			}
			return
		case a == "-m" && lang.code == "c":
			w.module(name, args[i+1:], p)
			return
		case strings.HasPrefix(a, "-"):
			for j := 1; j < len(a); j++ {
				if strings.IndexByte(lang.code, a[j]) >= 0 && a[j] != 'm' && a[j] != 'M' {
					code := value{a[j+1:], args[i].taint}
					if code.text == "" && i+1 < len(args) {
						code = args[i+1]
					}
					w.foreign(name, code, p)
					w.edited(name, args, code)
					return
				}
				if strings.IndexByte(lang.values, a[j]) >= 0 {
					if j == len(a)-1 {
						i++
					}
					break
				}
			}
			if len(args) == 2 && (a == "-V" || a == "-v" || a == "-h") {
				return
			}
		default:
			if v := w.reads(args[i]); v.text != anything || v.taint != 0 {
				w.foreign(name, v, p)
			}
			return
		}
	}
	w.foreignInput(name, p)
}

// module is python -m: pip is a command of its own, timeit is given code, and others are given files.
func (w *follower) module(name string, args []value, p place) {
	if len(args) > 0 && args[0].is("pip") {
		w.run(args, p.wrapped(name))
		return
	}
	for i, x := range args {
		switch {
		case i == 0 || strings.HasPrefix(x.text, "-"):
		case args[0].is("timeit"):
			w.foreign(name, x, p)
		case w.secretFile(x):
			w.reads(x)
		}
	}
}

// edited notes the files that -n and -p of perl and ruby read, and -i writes.
func (w *follower) edited(name string, args []value, code value) {
	a := arguments{args[1:]}
	if name != "perl" && name != "ruby" || !a.flag("np", "eEmMIrC0F") {
		return
	}
	inPlace := a.flag("i", "eEmMIrC0F")
	for _, x := range a.operands("-I", "-m", "-M") {
		if x == code {
			continue
		}
		w.reads(x)
		if inPlace {
			w.writes(x, args)
		}
	}
}

func (w *follower) foreignInput(name string, p place) {
	if p.in == nil {
		w.unknown(name + " runs what comes over its input")
		return
	}
	w.foreign(name, *p.in, p)
}

// foreign looks in code of another language for what runs commands and deletes files. That
// is not the whole of what code can do, so it is known only where every word of it is harmless.
func (w *follower) foreign(name string, code value, p place) {
	if code.taint&fetched != 0 {
		w.out.FetchToInterpreter = true
	}
	if code.text == "" {
		return
	}
	if _, ok := interpreterOf(name); !ok || !code.known() || !harmless(code.text) || strings.Contains(code.text, "load") && !strings.HasPrefix(name, "p") {
		w.unknown(name + " is given code that is not shell")
	}
	if p.depth++; p.depth > MaxShellDepth {
		w.unknown("the command is nested too deeply")
		return
	}
	p.in = nil
	p = p.wrapped(name)
	src := cut(code.text, maxText)
	for _, at := range runsCommands.FindAllStringIndex(src, maxBraces) {
		rest := src[at[1]:]
		if quote := src[at[1]-1]; quote == '`' {
			if end := strings.IndexByte(rest, '`'); end >= 0 && !strings.HasPrefix(name, "node") {
				w.nested(value{rest[:end], 0}, p)
			}
			continue
		}
		texts, list := literals(rest)
		switch {
		case len(texts) == 0:
		case list && len(texts) > 1:
			args := make([]value, len(texts))
			for i, t := range texts {
				args[i] = exactly(t)
			}
			w.run(args, p)
		default:
			w.nested(exactly(texts[0]), p)
		}
	}
	for _, at := range deletesFiles.FindAllStringIndex(src, maxBraces) {
		rest := src[at[1]:]
		texts, _ := literals(rest)
		target := value{text: anything}
		if len(texts) > 0 {
			target = exactly(texts[0])
		} else if homeCall.MatchString(cut(rest, 64)) {
			target = exactly(home)
		}
		w.run([]value{exactly("rm"), exactly("-rf"), target}, p)
	}
	for _, at := range readsFiles.FindAllStringIndex(src, maxBraces) {
		if texts, _ := literals(src[at[1]:]); len(texts) > 0 {
			file := exactly(strings.Replace(texts[0], "~/", home+"/", 1))
			if len(texts) > 1 && (strings.HasPrefix(texts[1], "w") || strings.HasPrefix(texts[1], "a")) {
				w.writes(file, []value{exactly(name), file})
			} else {
				w.reads(file)
			}
		}
	}
	for _, v := range environmentReads.FindAllStringSubmatch(src, maxBraces) {
		w.secretVariable(v[1])
	}
	for _, u := range webAddress.FindAllString(src, maxBraces) {
		w.url(u)
	}
}

var (
	runsCommands = regexp.MustCompile(`\b(?:os\s*\.\s*(?:system|popen|exec[lv]p?e?|spawn[lv]p?e?|execute)|subprocess\s*\.\s*\w+|commands\.getoutput|pty\.spawn|io\.popen|` +
		`system|exec|execl|execv|execvp|Popen|popen|check_output|check_call|spawn|execSync|execFile|execFileSync|spawnSync|shell_exec|passthru|proc_open|pcntl_exec|IO\.popen|Open3\.\w+|qx|getoutput)` +
		`\s*(?:\(|\{|/|\s(?:["'])|["'])|%x[({]|` + "`")
	deletesFiles     = regexp.MustCompile(`\b(?:shutil\s*\.\s*rmtree|rmtree|remove_tree|rm_rf|rm_r|fs\s*\.\s*rm(?:Sync|dir|dirSync)?|rmSync|rmdirSync|rimraf|emptyDirSync|removeSync|fs\.remove)\s*\(?`)
	readsFiles       = regexp.MustCompile(`\b(?:open|readFileSync|readFile|file_get_contents|File\.read|writeFileSync|IO\.read|Path|read_text|file)\s*\(`)
	environmentReads = regexp.MustCompile(`(?:environ\s*[\[.](?:get\()?\s*["']?|getenv\(\s*["']|process\.env\.|ENV\[["']|ENV\{["']?)([A-Za-z_][A-Za-z0-9_]*)`)
	homeCall         = regexp.MustCompile(`expanduser|Path\.home|homedir|HOME`)
	webAddress       = regexp.MustCompile(`https?://[^\s"'` + "`" + `)>]+`)
)

// literals are the texts in quotes up to the end of a call, and whether they are the words
// of a list.
func literals(code string) (texts []string, list bool) {
	depth := 0
	if code != "" && (code[0] == '"' || code[0] == '\'') {
		depth = -1 // without brackets: up to the first end of a statement
	}
	for i := 0; i < len(code) && i < 2048 && len(texts) < maxBraces; i++ {
		switch c := code[i]; c {
		case '(', '{':
			depth++
		case '[':
			depth++
			list = true
		case ')', ']', '}':
			if depth--; depth < 0 {
				return texts, list || len(texts) > 1 && !strings.Contains(texts[0], " ")
			}
		case ';', '\n':
			if depth <= 0 {
				return texts, list || len(texts) > 1 && !strings.Contains(texts[0], " ")
			}
		case '"', '\'':
			var b strings.Builder
			for i++; i < len(code) && code[i] != c; i++ {
				if code[i] == '\\' && i+1 < len(code) {
					i++
				}
				b.WriteByte(code[i])
			}
			texts = append(texts, strings.Map(func(r rune) rune {
				if isOpen(r) {
					return -1
				}
				return r
			}, b.String()))
		}
	}
	return texts, list || len(texts) > 1 && !strings.Contains(texts[0], " ")
}

// harmless reports whether code has only words, outside of its texts, of which none runs
// anything, touches a file or the network, or gets at what does.
func harmless(code string) bool {
	if len(code) > 2000 || strings.ContainsAny(code, "`\\@&|<>") {
		return false
	}
	for i := 0; i < len(code); {
		switch c := code[i]; {
		case c == '"' || c == '\'':
			end := strings.IndexByte(code[i+1:], c)
			if end < 0 {
				return false
			}
			if inner := code[i+1 : i+1+end]; strings.Contains(inner, "#{") || strings.Contains(inner, "{") && i > 0 && code[i-1]|0x20 == 'f' {
				return false
			}
			i += end + 2
		case isLetter(c) || c == '_':
			n := i
			for n < len(code) && (isLetter(code[n]) || isDigit(code[n]) || code[n] == '_') {
				n++
			}
			if !harmlessWords[code[i:n]] && n-i > 1 {
				return false
			}
			i = n
		default:
			i++
		}
	}
	return true
}

// harmlessWords: print a value, count, read JSON from the input, look at versions.
var harmlessWords = set(`print import from as for in if else elif and or not is None True False lambda def return true false null
	sys json math re datetime time random string collections itertools functools statistics platform version version_info
	stdin stdout read readline readlines write load loads dump dumps indent sort_keys argv keys values items get len sum min max abs round sorted
	range enumerate zip map filter list dict set tuple str int float bool join split strip lower upper replace format now today isoformat
	sqrt pi factorial Counter most_common mean median process versions node console log JSON stringify parse Math puts length say ord chr hex bin
	python_version executable maxsize platform_info token_hex secrets uuid uuid4 hashlib sha256 md5 hexdigest encode decode b64encode base64`)
