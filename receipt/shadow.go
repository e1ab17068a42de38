package receipt

import "github.com/helm-ai-kernel/helm-ai-kernel"

// A Shadow is what another policy says of a call than the one in force. It decides nothing.
type Shadow struct {
	Policy  PolicyRef
	Verdict helm.Verdict
	Rule    string // RuleShadowFailed where the policy could not be evaluated
	Code    helm.Code
}

// RuleShadowFailed is the rule of a shadow policy whose evaluation failed.
const RuleShadowFailed = "kernel:shadow"

func (s *Shadow) describe(c *codec) {
	c.object(func() {
		c.name("policy")
		s.Policy.describe(c)
		c.verdict("verdict", &s.Verdict)
		c.nameMember("rule", &s.Rule)
		c.code("code", &s.Code)
	})
}
