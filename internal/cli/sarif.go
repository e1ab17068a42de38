package cli

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

// sarif is what was found in a policy file as SARIF 2.1.0, which code hosts show on the line.
func sarif(file string, all []policy.Finding) any {
	type text struct {
		Text string `json:"text"`
	}
	type rule struct {
		ID    string `json:"id"`
		Short text   `json:"shortDescription"`
	}
	type artifact struct {
		URI string `json:"uri"`
	}
	type region struct {
		Line    int   `json:"startLine"`
		Column  int   `json:"startColumn"`
		Snippet *text `json:"snippet,omitzero"`
	}
	type physical struct {
		Artifact artifact `json:"artifactLocation"`
		Region   region   `json:"region"`
	}
	type location struct {
		Physical physical `json:"physicalLocation"`
	}
	type result struct {
		Rule      string     `json:"ruleId"`
		RuleIndex int        `json:"ruleIndex"`
		Level     string     `json:"level"`
		Message   text       `json:"message"`
		Locations []location `json:"locations"`
	}
	rules, index := []rule{}, map[string]int{}
	for i, c := range policy.Codes {
		rules, index[c.Code] = append(rules, rule{c.Code, text{c.Says}}), i
	}
	results := []result{}
	for _, f := range all {
		r := result{Rule: f.Code, RuleIndex: index[f.Code], Level: "error", Message: text{f.Message}}
		if f.Warning {
			r.Level = "warning"
		}
		if f.Suggestion != "" {
			r.Message.Text += "; did you mean \"" + f.Suggestion + "\"?"
		}
		at := region{Line: f.Line, Column: f.Column}
		if f.Excerpt != "" {
			at.Snippet = &text{f.Excerpt}
		}
		r.Locations = []location{{physical{artifact{fileURI(file)}, at}}}
		results = append(results, r)
	}
	return map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{
			"tool":       map[string]any{"driver": map[string]any{"name": "helm-ai-kernel", "version": versionString(), "rules": rules}},
			"columnKind": "unicodeCodePoints", "results": results}},
	}
}

// fileURI is a file's name as a URI: relative as it was given, so that a code host finds
// it in the checkout.
func fileURI(file string) string {
	if path := filepath.ToSlash(filepath.Clean(file)); !filepath.IsAbs(file) {
		return strings.TrimPrefix((&url.URL{Path: path}).String(), "./")
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(file)}).String()
}
