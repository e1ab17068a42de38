package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A rule is what a host makes of a hook that ends in some way before a call. The hook's
// program is written so as to end in the ways by which hosts do not go on.
type rule struct {
	what   string
	script string // of the hook, for sh
	goesOn bool
	more   int // bytes of the command
}

const (
	asks   = `cat > /dev/null; echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"ask","permissionDecisionReason":"so"}}'`
	allows = `cat > /dev/null; echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow"}}'`
	denies = `cat > /dev/null; echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"so"}}'`
)

var rules = map[*host][]rule{
	claudeCode: {
		{"exit code 2 and a text", `cat > /dev/null; echo so >&2; exit 2`, false, 0},
		{"exit code 2 alone", `cat > /dev/null; exit 2`, false, 0},
		{"exit code 2 and not all was read", `echo so >&2; exit 2`, false, 100_000},
		{"exit code 1 and a text", `cat > /dev/null; echo so >&2; exit 1`, true, 0},
		{"killed", `kill -9 $$`, true, 0},
		{"no JSON", `cat > /dev/null; echo '{"decision":'`, true, 0},
		{"nothing said", `cat > /dev/null`, true, 0},
	},
	codex: {
		{"exit code 2 and a text", `cat > /dev/null; echo so >&2; exit 2`, false, 0},
		{"denies in JSON", denies, false, 0},
		{"nothing said", `cat > /dev/null`, true, 0},
		{"exit code 2 alone", `cat > /dev/null; exit 2`, true, 0},
		{"exit code 2 and JSON that denies", denies + `; exit 2`, true, 0},
		{"exit code 2 and not all was read", `echo so >&2; exit 2`, false, 100_000},
		{"exit code 1 and a text", `cat > /dev/null; echo so >&2; exit 1`, true, 0},
		{"killed", `cat > /dev/null; echo so >&2; kill -9 $$`, true, 0},
		{"asks", asks, true, 0},
		{"allows", allows, true, 0},
		{"no JSON", `cat > /dev/null; echo '{"decision":'`, true, 0},
	},
	gemini: {
		{"exit code 2 and a text", `cat > /dev/null; echo so >&2; exit 2`, false, 0},
		{"exit code 2 and not all was read", `echo so >&2; exit 2`, false, 100_000},
		{"denies in JSON", `cat > /dev/null; echo '{"decision":"deny","reason":"so"}'`, false, 0},
		{"denies in JSON, with exit code 2", `cat > /dev/null; echo '{"decision":"deny","reason":"so"}'; echo so >&2; exit 2`, false, 0},
		{"nothing said", `cat > /dev/null`, true, 0},
		{"exit code 2 alone", `cat > /dev/null; exit 2`, true, 0},
		{"exit code 2 and other JSON", `cat > /dev/null; echo '{}'; echo so >&2; exit 2`, true, 0},
		{"exit code 1 and a text", `cat > /dev/null; echo so >&2; exit 1`, true, 0},
		{"killed", `cat > /dev/null; echo so >&2; kill -9 $$`, true, 0},
	},
}

// TestRules holds what the hook's answers rest on against the hosts themselves: which ends of
// a hook block a call, and by which it goes on.
func TestRules(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		var steps []step
		var cases strings.Builder
		for i, r := range rules[h] {
			// Of one that does not read it all, more than a pipe holds.
			steps = append(steps, h.shell(fmt.Sprintf("echo > ran-%d. # %s", i, strings.Repeat("x", r.more))))
			fmt.Fprintf(&cases, "*ran-%d.*) %s ;;\n", i, r.script)
		}
		s := newSite(t, h, steps...)
		// In the place of the program that was set up. After a call it says nothing.
		program := filepath.Join(s.bin, "helm-ai-kernel")
		os.Remove(program)
		s.write(program, "#!/bin/sh\nhas=$(head -c 2000)\ncase $has in *PostToolUse*|*AfterTool*|*SessionEnd*) exec cat > /dev/null ;; esac\ncase $has in\n"+cases.String()+"esac\n")
		if err := os.Chmod(program, 0o700); err != nil {
			t.Fatal(err)
		}
		s.play()
		told := s.model.told()
		if len(told) != len(steps) {
			t.Fatalf("the model was told of %d calls of %d", len(told), len(steps))
		}
		for i, r := range rules[h] {
			if ran := s.exists(fmt.Sprintf("ran-%d.", i)); ran != r.goesOn {
				t.Errorf("a hook that ends so: %s: the call ran: %t, the agent was told %.200s", r.what, ran, told[i])
			}
		}
	})
}
