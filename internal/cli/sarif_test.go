package cli

import (
	"encoding/json"
	"testing"

	foreign "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

// TestSARIF holds what is printed to the schema of SARIF 2.1.0, as a foreign library has it.
func TestSARIF(t *testing.T) {
	for name, found := range map[string][]policy.Finding{
		"nothing": {},
		"some": {{Line: 3, Column: 1, Excerpt: "x = \"<é>\"", Message: "it is wrong", Suggestion: "y", Code: policy.CodeForm},
			{Line: 9, Column: 20, Message: "nothing uses it", Code: policy.CodeUnused, Warning: true}},
	} {
		for file, uri := range map[string]string{"policies/a b.toml": "policies/a%20b.toml", "./x.toml": "x.toml", "/srv/x.toml": "file:///srv/x.toml"} {
			b, err := json.Marshal(sarif(file, found))
			if err != nil {
				t.Fatal(err)
			}
			r, err := foreign.FromBytes(b)
			if err != nil {
				t.Fatal(err)
			}
			// What is left out the library takes for empty, and refuses.
			r.Runs[0].Language, r.Runs[0].Tool.Driver.Language, r.Runs[0].NewlineSequences = "en", "en", []string{"\n"}
			if err := r.Validate(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, b)
			}
			if n := len(r.Runs[0].Results); n != len(found) {
				t.Fatalf("%s: %d results", name, n)
			}
			for i, got := range r.Runs[0].Results {
				at := got.Locations[0].PhysicalLocation
				if *at.ArtifactLocation.URI != uri || *at.Region.StartLine != found[i].Line || *got.RuleID != found[i].Code ||
					*r.Runs[0].Tool.Driver.Rules[got.RuleIndex].ID != found[i].Code {
					t.Errorf("%s: %+v at %s", name, got, *at.ArtifactLocation.URI)
				}
			}
		}
	}
	if err := new(foreign.Report).Validate(); err == nil {
		t.Error("the foreign library validates an empty report: it shows nothing")
	}
}
