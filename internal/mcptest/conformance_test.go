package mcptest

import (
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// scenario is a line of the conformance suite's summary.
var scenario = regexp.MustCompile(`(?m)^[✓✗~].*: \d+ passed, \d+ failed.*$|^Total: .*$`)

// conformance runs the official suite against a server, and returns its summary.
func (s *site) conformance(suite, url string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.parts+"/node_modules/.bin/node", append([]string{s.parts + "/node_modules/" + suite + "/dist/index.js", "server", "--url", url}, args...)...)
	cmd.Dir = s.t.TempDir()
	out, _ := cmd.CombinedOutput() // it fails where a scenario does
	lines := scenario.FindAllString(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(out), ""), -1)
	if len(lines) < 20 || !strings.HasPrefix(lines[len(lines)-1], "Total: ") {
		s.t.Fatalf("the suite did not end:\n%s", out)
	}
	return strings.Join(lines, "\n")
}

// everything starts the SDK's server that has all that the suite asks for, over HTTP.
func (s *site) everything(args ...string) string {
	s.t.Helper()
	address := free(s.t)
	s.start(exec.Command(s.bin+"/everything-server", append([]string{"-http", address}, args...)...))
	s.ready("http://" + address)
	return "http://" + address + "/"
}

func (s *site) gateway(server string) string {
	s.t.Helper()
	address := free(s.t)
	name := "gateway-" + strings.ReplaceAll(address, ":", "-") + ".toml"
	s.write(name, fmt.Sprintf("listen = %q\n[[server]]\nname = \"conformance\"\nprefix = \"\"\n%s\n", address, server))
	s.start(s.helm("mcp", "gateway", "--config", s.dir+"/"+name, "--server", s.address))
	s.ready("http://" + address)
	return "http://" + address + "/mcp"
}

func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// The official conformance suite has the same result through the gateway as directly, in the
// current revision of the protocol and in the one before it, whether the server is started, wrapped
// by mcp wrap, or reached over HTTP.
func TestConformance(t *testing.T) {
	s := newSite(t, everythingIsAllowed)
	for _, c := range []struct {
		name, suite string
		args, flags []string
		atLeast     string
	}{
		{"2025-11-25", "conformance", []string{"--suite", "all", "--spec-version", "2025-11-25"}, []string{"-stateless=false"}, "Total: 44 passed, 0 failed"},
		{"2026-07-28", "conformance-next", []string{"--requirements", "2026-07-28"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *s
			s.t = t
			url := s.everything(c.flags...)
			direct := s.conformance(c.suite, url, c.args...)
			if !strings.HasSuffix(direct, c.atLeast) {
				t.Errorf("directly:\n%s", direct)
			}
			t.Log(direct[strings.LastIndex(direct, "\n")+1:])
			wrapped := s.wrapped("inner", []string{s.bin + "/everything-server"})
			for how, server := range map[string]string{
				"started":   fmt.Sprintf("command = [%q]", s.bin+"/everything-server"),
				"wrapped":   `command = ["` + strings.Join(wrapped, `", "`) + `"]`, // behind mcp wrap too
				"over HTTP": fmt.Sprintf("url = %q", url),
			} {
				if through := s.conformance(c.suite, s.gateway(server), c.args...); through != direct {
					t.Errorf("%s: through the gateway\n%s\nand directly\n%s", how, through, direct)
				}
			}
		})
	}
	decided := s.run("receipts", "list", "--json")
	if n := strings.Count(decided, `"conformance.test_`); n < 20 {
		t.Errorf("%d calls of the suite were decided:\n%.2000s", n, decided)
	}
}
