package kernel

import "github.com/helm-ai-kernel/helm-ai-kernel/policy"

// BreakShadow makes the shadow policy's evaluation panic.
func (k *Kernel) BreakShadow() {
	k.shadow.Load().evaluate = func(policy.Input) policy.Result { panic("a fault of the engine") }
}
