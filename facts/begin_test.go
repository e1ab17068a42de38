package facts

import (
	"strings"
	"testing"
)

func TestMayBegin(t *testing.T) {
	for _, c := range []struct {
		command, words string
		want           bool
	}{
		{"git push", "push", true},
		{"git push origin main", "push", true},
		{"git", "push", false},
		{"git status", "push", false},
		{"git commit -m push", "push", false},
		{"git add push", "push", false},
		{"git", "", true},
		{"git -C . push", "push", true},
		{"git -C push push", "push", true},
		{"git -C push status", "push", true}, // too much: -C could be an option without a value
		{"git -C . status", "push", false},
		{"git -c a.b=c --no-pager --git-dir x push --force", "push", true},
		{"git --git-dir=x push", "push", true},
		{"cargo +nightly publish", "publish", true},
		{"kubectl -n prod delete pod x", "delete", true},
		{"docker --context x compose -f y up -d", "compose up", true},
		{"docker compose up", "compose down", false},
		{"npm --prefix web install x", "install", true},
		{"python3 -W ignore -m pip install x", "-m pip", true},
		{"python3 x.py -m pip", "-m pip", false},
		{"git -C push push origin", "push origin", true},
		{`git $x`, "push", true},
		{`git "$x" origin`, "push", true},
		{`git $x push`, "push", true},
		{`git -C "$x" status`, "push", false},
		{`git -C "$x" push`, "push", true},
		{`git log "$x"`, "push", false},
		{`git pus{h,x}`, "push", true},
		{`git pu?h`, "push", true},
		{`git 'pu?h'`, "push", false},
		{`echo push | xargs git`, "push", true},
		{`ls | xargs git add`, "push", false},
	} {
		all := ParseShell(c.command).Commands
		if got := all[len(all)-1].MayBegin(strings.Fields(c.words)...); got != c.want {
			t.Errorf("%q may begin with %q: %v", c.command, c.words, got)
		}
	}
}

// What it costs grows with the words of both, whatever they are.
func TestMayBeginIsBounded(t *testing.T) {
	c := Command{Args: make([]string, MaxShellWords)}
	for i := range c.Args {
		c.Args[i] = "-x"
	}
	words := append(strings.Fields(strings.Repeat("-x ", 100)), "y")
	if c.MayBegin(words...) {
		t.Error("y was found")
	}
}
