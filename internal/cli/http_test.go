package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// send is "http METHOD PATH [BODYFILE]": it asks the script's server without a token and
// prints the answer. With ! the status must not be 200.
func send(ts *testscript.TestScript, neg bool, args []string) {
	var body io.Reader = strings.NewReader("")
	if len(args) > 2 {
		body = bytes.NewReader([]byte(ts.ReadFile(args[2])))
	}
	req, err := http.NewRequest(args[0], ts.Getenv("HELM_SERVER")+args[1], body)
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Stdout().Write(b)
	if (resp.StatusCode == http.StatusOK) == neg {
		ts.Fatalf("%s %s: %s: %s", args[0], args[1], resp.Status, b)
	}
}
