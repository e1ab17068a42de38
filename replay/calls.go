package replay

import (
	"iter"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A Call is a call that was decided, as far as a pack discloses it.
type Call struct {
	Index  uint64
	Kernel bool // the kernel itself decided it, whatever the policy said
	Input  policy.Input
}

// Calls gives the calls that the first n entries of a pack, which were verified, decide.
func Calls(p *pack.Reader, n uint64) iter.Seq2[Call, error] {
	return func(yield func(Call, error) bool) {
		for e, err := range p.Entries(n) {
			if err != nil {
				yield(Call{}, err)
				return
			}
			b, ok := e.Statement.Body.(*receipt.Decision)
			if ok && !yield(Call{e.Statement.Index, strings.HasPrefix(b.Rule, "kernel:"), input(&e, b)}, nil) {
				return
			}
		}
	}
}
