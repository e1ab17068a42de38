package kernel

import (
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

// PolicyInput is a call as a policy would see it at a time. It is validated as Decide
// validates it, and not decided.
func PolicyInput(call helm.Call, now time.Time) (policy.Input, error) {
	in, err := read(call)
	if err != nil {
		return policy.Input{}, err
	}
	return in.policyInput(now), nil
}
