package httpapi

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestMisread: a client is told what is wrong with its JSON, and nothing of Go.
func TestMisread(t *testing.T) {
	for in, want := range map[string]string{
		`{"agent":1}`:             "/agent must be a string, and is a JSON number",
		`[]`:                      "the whole must be an object, and is a JSON array",
		`{"status":{}}`:           "/status must be a string, and is a JSON object",
		`{"duration_us":-1}`:      "/duration_us must be a whole number from 0 to 18446744073709551615",
		`{"duration_us":"1"}`:     "/duration_us must be a whole number from 0 to 18446744073709551615",
		`{"agnt":"a"}`:            `there is no member "agnt"`,
		`{"agent":"a","agent":1}`: `duplicate object member name "agent"`,
		`{"agent":"a"`:            "unexpected EOF after offset 12",
		`x`:                       "invalid character 'x' at start of value",
		``:                        "unexpected EOF",
		"{\"agent\":\"\xff\"}":    `invalid UTF-8 within "/agent" after offset 10`,
	} {
		var r OutcomeRequest
		err := json.Unmarshal([]byte(in), &r, json.RejectUnknownMembers(true))
		if err == nil {
			t.Errorf("%s is taken", in)
			continue
		}
		got := Misread(err).Error()
		if got != want {
			t.Errorf("%s: %s", in, got)
		}
		for _, w := range []string{"json:", "jsontext", "Go ", "httpapi", "strconv"} {
			if strings.Contains(got, w) {
				t.Errorf("%s: %s: it says %s", in, got, w)
			}
		}
	}
}
