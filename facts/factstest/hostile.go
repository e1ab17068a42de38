// Package factstest has what shell facts are attacked and measured with.
package factstest

import "strings"

// most is facts.MaxShellBytes, which a test of that package cannot import by way of this one.
const most = 64 << 10

// Typical are commands as agents run them.
var Typical = []string{"ls -la src", "sudo -u app env A=1 git push --force origin main", "cd src && grep -rn 'func main' --include='*.go' . | head -20 > /tmp/out 2>&1",
	"go test ./... 2>&1 | tail -20", "rm -rf node_modules dist && npm install"}

// Hostile are texts of up to 64 KiB that are made to take long, by what is
// in them.
func Hostile() map[string]string {
	fill := func(s string) string { return strings.Repeat(s, most/len(s)) }
	long := strings.Repeat("x", 30_000)
	all := map[string]string{
		"letters":             fill("x"),
		"words":               fill("x "),
		"commands":            fill("a\n"),
		"pipes":               fill("a|"),
		"chains":              fill("a&&"),
		"assignments":         fill("x=$x$x;"),
		"growing text":        "x=aaaaaaaaaaaaaaaa;" + strings.Repeat("x=$x$x;", 2000),
		"appending":           fill("x+=aaaaaaaaaaaaaaaa;"),
		"alternatives":        strings.Repeat("if a; then x=$x$RANDOM; fi;", 1500) + "$x",
		"braces":              strings.Repeat("{a,b}", 1500),
		"braces in words":     strings.Repeat("{a,b}{a,b}{a,b} ", 600),
		"nested braces":       strings.Repeat("{a,", 1000) + strings.Repeat("}", 1000),
		"a long sequence":     strings.Repeat("{1..99999999} {1..60} ", 900),
		"loops in loops":      strings.Repeat("for i in 1 2 3 4 5 6 7 8; do ", 20) + "a" + strings.Repeat("; done", 20),
		"whiles in whiles":    strings.Repeat("while a; do ", 25) + "a" + strings.Repeat("; done", 25),
		"loops of long text":  "for i in {1..60}; do for j in {1..60}; do x='" + long + "'$i; done; done",
		"functions":           strings.Repeat("f() { f; f; }; f;", 900),
		"functions in turn":   "a() { b; b; }; b() { c; c; }; c() { d; d; }; d() { e; e; }; e() { g; g; }; g() { h; h; }; h() { x; x; }; " + fill("a;")[:20000],
		"evals":               fill("eval "),
		"nested shells":       strings.Repeat(`sh -c "`, 30) + "a" + strings.Repeat(`"`, 30),
		"substitutions":       strings.Repeat("$(", 900) + strings.Repeat(")", 900),
		"echoes of echoes":    strings.Repeat("echo $(", 31) + "a" + strings.Repeat(")", 31),
		"aliases":             "alias a='a a a a'; alias b='a;a;b'; " + fill("a;b;"),
		"arithmetic":          "x='$x+$x'; " + strings.Repeat("echo $((x));", 900),
		"arrays":              strings.Repeat("a[99]=1;", 1000),
		"growing arrays":      "a=(1 2 3 4);" + strings.Repeat("a=(${a[@]} ${a[@]});", 400),
		"parameters":          "set -- a b c d e f; " + fill("set -- $@ $@;"),
		"patterns":            "x=" + strings.Repeat("a", 250) + ";" + strings.Repeat("echo ${x%*a*a*a*a*a*b};", 900),
		"globbed names":       fill("/???/??* "),
		"stars":               fill("/*****************b x;"),
		"replacing":           "x=" + strings.Repeat("a", 4000) + ";" + strings.Repeat("x=${x//a/bb};", 900),
		"redirections":        fill(">f "),
		"files":               fill(">$i cat f;"),
		"finds":               strings.Repeat("find . -exec ", 5000) + "a",
		"finds of many roots": "find " + strings.Repeat("a ", 5000) + "-exec find {} -exec rm {} + +",
		"wrappers":            fill("sudo "),
		"parallel":            "parallel parallel parallel a ::: " + fill("b ")[:30000],
		"xargs":               "echo " + fill("b ")[:30000] + "| xargs xargs xargs rm",
		"python":              "python -c '" + strings.Repeat(`os.system("python -c \"os.system(1)\"");`, 900) + "'",
		"awk":                 "awk '" + strings.Repeat(`system("awk x");`, 1900) + "'",
		"SQL":                 "psql -c '" + strings.Repeat("delete from x where ", 3000) + "'",
		"decoding":            "echo " + strings.Repeat("ZWNobyB4Owo", 5000) + " | base64 -d | sh",
		"printf":              "printf '%s%s%s' " + fill("aaaa ")[:60000],
		"fetched directories": "git clone a:b x;" + fill("x/"+strings.Repeat("a/", 2000)+"b;"),
		"here-documents":      fill("cat <<E\na\nE\n"),
		"URLs":                "curl " + fill("http://a.example/b "),
	}
	for name, command := range all {
		all[name] = command[:min(len(command), most)]
	}
	return all
}
