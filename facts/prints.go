package facts

import (
	"encoding/base64"
	"encoding/hex"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// prints adds to the sink what a command prints, where that can be told: so that
// $(echo rm), and echo cm0K | base64 -d | sh, are what they are.
func (w *follower) prints(name string, args []value, p place) {
	if p.sink == nil {
		return
	}
	out, ok := w.output(name, args, p)
	if !ok {
		out = value{text: anything}
		if p.in != nil {
			out.taint |= p.in.taint & (fetched | environment)
		}
		if fetchers[name] {
			out.taint |= fetched
		}
	}
	out.taint |= printed
	if dumpsEnvironment(name, texts(args[1:])) {
		out.taint |= environment
	}
	for _, a := range args[1:] {
		out.taint |= a.taint & fetched
	}
	p.sink.add(out)
}

// fetchers print what they get over the network.
var fetchers = set(`curl wget fetch aria2c axel http https xh httpie lynx links w3m nc ncat netcat socat telnet ftp tftp lftp
	ssh rsh scp sftp openssl gh glab aws gsutil gcloud az kubectl dig nslookup host drill`)

// output is what a command prints.
func (w *follower) output(name string, args []value, p place) (value, bool) {
	rest := args[1:]
	switch name {
	case "echo":
		return echo(rest), true
	case "printf":
		return printf(rest)
	case "pwd":
		return exactly(w.dirs[0] + "\n"), true
	case "which", "type", "command":
		if n := len(rest); n > 0 && rest[n-1].known() && !strings.HasPrefix(rest[n-1].text, "-") && (name != "type" || n > 1) {
			return exactly(rest[n-1].text + "\n"), true
		}
	case "mktemp":
		return exactly("/tmp/" + some + "\n"), true
	case "basename", "dirname", "realpath", "readlink":
		var of []value
		for _, a := range rest {
			if !strings.HasPrefix(a.text, "-") {
				of = append(of, a)
			}
		}
		if len(of) == 0 || of[0].text == "" {
			break
		}
		switch s := of[0].text; name {
		case "basename":
			s = path.Base(s)
			if len(of) > 1 {
				s = strings.TrimSuffix(s, of[1].text)
			}
			return exactly(s + "\n"), true
		case "dirname":
			return exactly(path.Dir(s) + "\n"), true
		default:
			return exactly(w.at(s) + "\n"), true
		}
	case "git":
		if len(rest) == 2 && rest[0].is("rev-parse") && rest[1].is("--show-toplevel") {
			return exactly(w.cwd + "\n"), true
		}
	case "find":
		return found(rest)
	case "seq":
		return value{text: some + "\n"}, true
	case "true", "false", ":", "cd", "export", "set", "mkdir", "rm", "touch", "sleep", "test", "[", "chmod", "shopt", "alias", "unset", "read", "kill":
		return value{}, true
	}
	if !filters[name] {
		return value{}, false
	}
	in, operands, ok := w.filtered(name, rest, p)
	if !ok {
		return value{}, false
	}
	out, ok := filter(name, operands, in)
	if len(out.text) > maxText {
		out.text = anything
	}
	out.taint |= in.taint
	return out, ok
}

// found is what find prints: its roots stand for all below them, where no condition takes some out.
func found(args []value) (v value, ok bool) {
	tests := slices.IndexFunc(args, func(a value) bool { return strings.HasPrefix(a.text, "-") || a.is("!") || a.is("(") })
	if tests < 0 {
		tests = len(args)
	}
	below := ""
	for i, a := range args[tests:] {
		switch a.text {
		case "!", "-not": // nearly all
			return value{}, false
		case "-name", "-iname":
			if i++; below == "" && tests+i < len(args) && strings.Trim(args[tests+i].word(), "*") != "" {
				below = "/" + quoting.Replace(args[tests+i].text)
			}
		case "-path", "-regex", "-mtime", "-mmin", "-size", "-newer", "-empty", "-user":
			below = "/" + some
		case "-exec", "-delete", "-printf", "-ls", "-fprint", "-ok", "-execdir":
			return value{}, false
		}
	}
	for _, root := range args[:tests] {
		if root.text == "" || root.text == "." && below == "" {
			return value{}, false
		}
		v.text += root.text + below + "\n"
		if below == "" {
			v.taint |= whole
		}
	}
	return v, tests > 0
}

// filters print a function of their input or of the files they are given.
var filters = set("cat tac tee base64 gbase64 base32 xxd rev tr head tail sort uniq cut sed awk gawk mawk grep zcat gzip gunzip openssl xargs")

// filtered is what a filter reads: the files among its operands whose content is known,
// or its input. The other words are returned.
func (w *follower) filtered(name string, args []value, p place) (in value, other []string, ok bool) {
	files := 0
	for i, a := range args {
		if !a.known() {
			return value{}, nil, false
		}
		fileOperand := !strings.HasPrefix(a.text, "-") && (name == "cat" || name == "tac" || name == "base64" || name == "rev" || name == "xxd" && i == len(args)-1 ||
			(name == "head" || name == "tail") && i == len(args)-1 && !isNumber(a.text))
		if name != "tee" && fileOperand {
			v, known := w.content(a.text)
			if isStdin(a.text) && p.in != nil {
				v, known = *p.in, true
			}
			if !known {
				return value{}, nil, false
			}
			in.text += v.text
			in.taint |= v.taint
			files++
			continue
		}
		other = append(other, a.text)
	}
	if files > 0 {
		return in, other, true
	}
	if p.in == nil {
		return value{}, nil, false
	}
	return *p.in, other, true
}

// filter applies a filter to what it reads.
func filter(name string, args []string, in value) (value, bool) {
	switch name {
	case "cat", "tee":
		return in, len(args) == 0 || name == "tee" || slices.Equal(args, []string{"-"})
	case "xargs": // echo
		return exactly(strings.Join(strings.Fields(in.text), " ") + "\n"), len(args) == 0
	}
	if !in.known() {
		return value{}, false
	}
	s := in.text
	switch name {
	case "tac":
		lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
		slices.Reverse(lines)
		return exactly(strings.Join(lines, "\n") + "\n"), len(args) == 0
	case "rev":
		lines := strings.Split(s, "\n")
		for i, line := range lines {
			r := []rune(line)
			slices.Reverse(r)
			lines[i] = string(r)
		}
		return exactly(strings.Join(lines, "\n")), len(args) == 0
	case "base64", "gbase64":
		if !slices.ContainsFunc(args, func(a string) bool { return strings.ContainsAny(a, "dD") && a[0] == '-' }) {
			return value{}, false
		}
		return decoded(base64.StdEncoding.WithPadding(base64.NoPadding).DecodeString(strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")))
	case "openssl":
		if len(args) > 0 && (args[0] == "base64" || args[0] == "enc" && slices.Contains(args, "-base64")) && slices.Contains(args, "-d") {
			return decoded(base64.StdEncoding.WithPadding(base64.NoPadding).DecodeString(strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")))
		}
	case "xxd":
		if joined := strings.Join(args, " "); joined == "-r -p" || joined == "-p -r" || joined == "-rp" || joined == "-pr" || joined == "-r -ps" {
			return decoded(hex.DecodeString(strings.Join(strings.Fields(s), "")))
		}
	case "tr":
		return transliterated(s, args)
	case "head", "tail":
		n := 10
		for i, a := range args {
			if a == "-n" && i+1 < len(args) {
				n, _ = strconv.Atoi(args[i+1])
			} else if v, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(a, "-n"), "-")); err == nil {
				n = v
			} else if a != "-n" {
				return value{}, false
			}
		}
		lines := strings.SplitAfter(s, "\n")
		if n <= 0 {
			return value{}, false
		}
		if name == "head" {
			return exactly(strings.Join(lines[:min(n, len(lines))], "")), true
		}
		if len(lines) > 0 && lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		return exactly(strings.Join(lines[max(0, len(lines)-n):], "")), true
	case "sed":
		if len(args) == 1 {
			return substituted(s, args[0])
		}
	}
	return value{}, false
}

// decoded is a decoder's result, if it is text that a shell would read.
func decoded(b []byte, err error) (value, bool) {
	if err != nil || !utf8.Valid(b) || slices.ContainsFunc(b, func(c byte) bool { return c <= 0x05 }) {
		return value{}, false
	}
	return exactly(string(b)), true
}

// echo is POSIX's and bash's: with -e, or as dash always does, escapes are decoded.
func echo(args []value) value {
	newline, escapes := "\n", false
	for len(args) > 0 && len(args[0].text) > 1 && args[0].text[0] == '-' && strings.Trim(args[0].text[1:], "neE") == "" {
		if strings.Contains(args[0].text, "n") {
			newline = ""
		}
		escapes = escapes || strings.Contains(args[0].text, "e")
		args = args[1:]
	}
	v := joined(args)
	v.text = patterns.Replace(v.text)
	if escapes {
		v.text = ansiC(v.text)
	}
	v.text += newline
	return v
}

func joined(args []value) (v value) {
	for i, a := range args {
		if i > 0 {
			v.text += " "
		}
		v.text += a.text
		v.taint |= a.taint
	}
	return v
}

// printf knows %s, %b, %d, %c, %% and escapes.
func printf(args []value) (value, bool) {
	if len(args) > 0 && args[0].is("--") {
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0].text, "-") || args[0].open() {
		return value{}, false
	}
	format, rest := ansiC(strings.ReplaceAll(args[0].text, "%%", "\x07")), args[1:]
	var b strings.Builder
	var from taint
	for {
		took := false
		for i := 0; i < len(format); i++ {
			if format[i] != '%' {
				b.WriteByte(format[i])
				continue
			}
			for i++; i < len(format) && strings.IndexByte("-+ #0123456789.", format[i]) >= 0; i++ {
			}
			if i == len(format) {
				return value{}, false
			}
			var a value
			if len(rest) > 0 {
				a, rest, took = rest[0], rest[1:], true
			}
			from |= a.taint
			switch format[i] {
			case 's', 'd', 'i', 'u':
				b.WriteString(a.text)
			case 'b':
				b.WriteString(ansiC(a.text))
			case 'c':
				b.WriteString(cut(a.text, 1))
			default:
				return value{}, false
			}
		}
		if len(rest) == 0 || !took || b.Len() > maxText {
			break
		}
	}
	return value{strings.ReplaceAll(b.String(), "\x07", "%"), from}, true
}

// transliterated is tr of two sets, or of -d and one.
func transliterated(s string, args []string) (value, bool) {
	if len(args) != 2 {
		return value{}, false
	}
	if args[0] == "-d" {
		cut := charSet(args[1])
		return exactly(strings.Map(func(r rune) rune {
			if slices.Contains(cut, r) {
				return -1
			}
			return r
		}, s)), true
	}
	from, to := charSet(args[0]), charSet(args[1])
	if strings.HasPrefix(args[0], "-") || len(from) == 0 || len(to) == 0 {
		return value{}, false
	}
	return exactly(strings.Map(func(r rune) rune {
		for i := len(from) - 1; i >= 0; i-- {
			if from[i] == r {
				return to[min(i, len(to)-1)]
			}
		}
		return r
	}, s)), true
}

func charSet(s string) (out []rune) {
	s = strings.NewReplacer("[:upper:]", "A-Z", "[:lower:]", "a-z", "[:digit:]", "0-9", "[:space:]", " \t\n", "[:alpha:]", "A-Za-z").Replace(ansiC(s))
	r := []rune(s)
	for i := 0; i < len(r); i++ {
		if i+2 < len(r) && r[i+1] == '-' && r[i+2] >= r[i] && r[i+2]-r[i] < 256 {
			for c := r[i]; c <= r[i+2]; c++ {
				out = append(out, c)
			}
			i += 2
			continue
		}
		out = append(out, r[i])
	}
	return out
}

// substituted is sed's s command with a text that is no pattern.
func substituted(s, script string) (value, bool) {
	if len(script) < 4 || script[0] != 's' {
		return value{}, false
	}
	parts := strings.Split(script[2:], script[1:2])
	if len(parts) != 3 || strings.ContainsAny(parts[0], `\.*[]^$`) || strings.ContainsAny(parts[1], `\&`) || parts[0] == "" {
		return value{}, false
	}
	switch parts[2] {
	case "g":
		return exactly(strings.ReplaceAll(s, parts[0], parts[1])), true
	case "":
		lines := strings.Split(s, "\n")
		for i := range lines {
			lines[i] = strings.Replace(lines[i], parts[0], parts[1], 1)
		}
		return exactly(strings.Join(lines, "\n")), true
	}
	return value{}, false
}
