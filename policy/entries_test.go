package policy

import (
	"strings"
	"testing"
)

const entryDecl = `[[tool]]
name = "t"
args = { c = "command", p = "path", u = "url" }
[[rule]]
id = "r"
verdict = "DENY"
tools = ["t"]
`

// Each row is an entry of a fact's list that could not match, or not as it reads,
// and what must be said of it.
func TestRefusedEntries(t *testing.T) {
	for _, c := range []struct{ when, want string }{
		{`facts.path.touches(['/etc/*'])`, `"/etc/*" in facts.path.touches: a directory is no pattern; it stands for all that is below it; did you mean "/etc"?`},
		{`facts.path.touches('/*')`, `did you mean "/"?`},
		{`facts.path.under(['/srv', '/srv/a?p/x'])`, `did you mean "/srv"?`},
		{`facts.path.touches(['/etc', 'etc'])`, `"etc" in facts.path.touches: this is no directory that a rule can ask for: the path is relative`},
		{`facts.path.touches('~/.ssh')`, "~ is another directory for each user"},
		{`facts.path.touches('')`, "the path is empty"},
		{`facts.shell.only('ls', '/tmp/*')`, `did you mean "/tmp"?`},
		{`facts.path.named(['config/.env'])`, `one component of a path is meant, without /; for all below a directory ask facts.path.touches; did you mean ".env"?`},
		{`facts.path.named('id_rsa?')`, `* is the only sign of a pattern; did you mean "id_rsa*"?`},
		{`facts.path.named('')`, "an empty name is no file's"},
		{`facts.path.named('..')`, "a path is cleaned of . and .."},
		{`facts.shell.names('**')`, "this is every file's name"},
		{`facts.shell.names(['x', '/etc/shadow'])`, `did you mean "shadow"?`},
		{`facts.shell.runs(['/usr/bin/curl'])`, `"/usr/bin/curl" in facts.shell.runs: a command is found by the last component of its word, wherever its file lies; did you mean "curl"?`},
		{`facts.shell.may_run('./git push')`, `did you mean "git push"?`},
		{`facts.shell.strays(['/bin/ls'])`, `did you mean "ls"?`},
		{`facts.shell.only(['npm *'])`, `a command is no pattern; any words may follow those of an entry; did you mean "npm"?`},
		{`facts.shell.runs(['*'])`, "a command is no pattern"},
		{`facts.shell.runs(['ls', ''])`, "an empty entry is no command"},
		{`facts.shell.runs(' ')`, "an empty entry is no command"},
		{`facts.shell.runs('git  push')`, `words stand one space apart; did you mean "git push"?`},
		{`facts.shell.runs(' rm')`, `did you mean "rm"?`},
		{`facts.shell.runs('git\tpush')`, `did you mean "git push"?`},
		{`facts.shell.only(['ls | wc'])`, "an entry is one command's words"},
		{`facts.shell.only(['ls; rm'])`, "an entry is one command's words"},
		{`facts.shell.only(['ls &'])`, "an entry is one command's words"},
		{`facts.shell.only(['ls > x'])`, "an entry is one command's words"},
		{`facts.shell.only(['echo $HOME'])`, "an entry is one command's words"},
		{`facts.shell.only(['git commit "a"'])`, "an entry is one command's words"},
		{`facts.shell.runs('A=1 make')`, `a command without its variables is meant; did you mean "make"?`},
		{`facts.shell.runs('sudo rm')`, `sudo is taken off a command, and is an entry by itself; did you mean "rm"?`},
		{`facts.shell.only('timeout 60 go test')`, `did you mean "go test"?`},
		{`facts.shell.runs('bash -c')`, "bash is taken off a command, and is an entry by itself\n"},
		{`facts.url.scheme('https://')`, `"https://" in facts.url.scheme: the schemes are http, https, ws, wss, ftp; did you mean "https"?`},
		{`facts.url.scheme(['https', 'ssh'])`, "the schemes are http, https, ws, wss, ftp"},
		{`facts.url.scheme('')`, "the schemes are http, https, ws, wss, ftp"},
		{`facts.host.within('https://x.example')`, `a host is meant, without scheme, port and path; did you mean "x.example"?`},
		{`facts.host.within('x.example:443')`, `did you mean "x.example"?`},
		{`facts.host.within('x.example/v1')`, `did you mean "x.example"?`},
		{`facts.host.within('*.x.example:443')`, `did you mean "*.x.example"?`},
		{`facts.host.touches('[::1]:80')`, `did you mean "::1"?`},
		{`facts.host.within('.x.example')`, `all subdomains are written with *. in front; did you mean "*.x.example"?`},
		{`facts.host.within('*x.example')`, `did you mean "*.x.example"?`},
		{`facts.host.touches('10.0.0.0/8')`, "an entry is one address, no range"},
		{`facts.host.touches('*.10.0.0.1')`, "an address has no subdomains"},
		{`facts.host.touches('*.xn--e1afmkfd.example')`, "matched by itself only"},
		{`facts.host.touches('a.*.example')`, "this is no host that a rule can ask for"},
		{`facts.host.within('*')`, "this is no host that a rule can ask for"},
		{`facts.host.within('')`, "this is no host that a rule can ask for"},
		{`facts.shell.runs([])`, "an empty list matches nothing"},
		{`facts.host.within(['x.example'] + ['https://y.example'])`, `did you mean "y.example"?`},
	} {
		_, err := Compile("test.toml", []byte(head+entryDecl+"when = \"\"\"\n"+c.when+"\"\"\"\n"))
		if err == nil || !strings.Contains(err.Error()+"\n", c.want) {
			t.Errorf("%s\n%v\nand not: %s", c.when, err, c.want)
		}
	}
}

// An entry is shown where it stands, also when that is in [lists].
func TestPlaceOfEntry(t *testing.T) {
	const src = head + "[lists]\nnone = []\nbad = [\n  \"ls\", # fine\n  \"/bin/rm\",\n]\n" + entryDecl +
		"when = \"facts.shell.runs(['é', 'sudo x']) || facts.shell.runs(lists.bad) || facts.shell.runs(lists.none)\"\n[[rule]]\nid = \"s\"\nverdict = \"DENY\"\ntools = [\"*\"]\nwhen = \"facts.shell.runs(lists.bad)\"\n"
	_, err := Compile("test.toml", []byte(src))
	const want = `test.toml:6:1: an empty list matches nothing, and a rule asks for it
  | none = []
  | ^
test.toml:9:3: "/bin/rm" in facts.shell.runs: a command is found by the last component of its word, wherever its file lies; did you mean "rm"?
  |   "/bin/rm",
  |   ^
test.toml:18:32: "sudo x" in facts.shell.runs: sudo is taken off a command, and is an entry by itself; did you mean "x"?
  | when = "facts.shell.runs(['é', 'sudo x']) || facts.shell.runs(lists.bad) || facts.shell.runs(lists.none)"
  |                                ^`
	if err == nil || err.Error() != want {
		t.Errorf("it says:\n%v", err)
	}
}

func TestGoodEntries(t *testing.T) {
	for _, when := range []string{
		`facts.shell.only(['ls', '[', './gradlew test', 'command -v', 'sudo', 'bash', 'bash build.sh', 'git -C', 'time', 'g++', 'npm run build:ci'], ['/tmp/', '/srv/a b', '/app/[id]'])`,
		`facts.shell.runs(['eval', 'source', '.', 'python3 -m pip', 'find', 'sudo -l', 'docker run --privileged', 'x@y'])`,
		`facts.shell.names(['..', '*.pem', 'My Documents', '[id]', '*secret*'])`,
		`facts.path.named(['*.pem', '.env']) || facts.path.touches(['/', '/etc/', '/srv/../etc'])`,
		`facts.host.within(['x.example', 'X.example.', '*.x.example', '127.0.0.1', '::1', '[::1]', 'xn--e1afmkfd.example', 'localhost'])`,
		`facts.url.scheme(['HTTPS', 'http', 'ws', 'wss', 'ftp'])`,
		`has(context.cwd) && facts.path.under([string(context.cwd), '/srv'])`,
	} {
		if _, err := Compile("test.toml", []byte(head+entryDecl+"when = \"\"\""+when+"\"\"\"\n")); err != nil {
			t.Error(err)
		}
	}
}
