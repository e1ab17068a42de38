package cli

import (
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/internal/hosts"
)

// A policy lets no call of a host pass when no name and no pattern could be one of its tools'.
func TestLets(t *testing.T) {
	for _, c := range []struct {
		tool string
		want bool
	}{{"claude-code.Bash", true}, {"claude-code.*", true}, {"*", true}, {"claude*", true}, {"*.Bash", true}, {"claude-code.B*h", true},
		{"claude-code", false}, {"codex.*", false}, {"claude-coder.Bash", false}, {"pay.*", false}} {
		if got := lets([]string{"other.tool", c.tool}, hosts.ClaudeCode); got != c.want {
			t.Errorf("%s: %t", c.tool, got)
		}
	}
	if lets(nil, hosts.ClaudeCode) {
		t.Error("no tools, and one passes")
	}
}
