package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

// readShadow reads the file of the shadow policy. It is nil where there is none.
func (s *server) readShadow() (*policy.Policy, error) {
	if s.shadowPolicy == "" {
		return nil, nil
	}
	stamp := stampOf(s.shadowPolicy)
	src, err := os.ReadFile(s.shadowPolicy)
	var p *policy.Policy
	if err == nil {
		p, err = policy.Compile(s.shadowPolicy, src)
	}
	s.mu.Lock()
	s.shadowStamp, s.shadowErr = stamp, err
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("read shadow policy: %w", err)
	}
	return p, nil
}

// takeShadow puts the shadow policy beside the active one.
func (s *server) takeShadow(p *policy.Policy) {
	if p != nil {
		s.kernel.Shadow(p)
		s.serveConfig.log.Info(fmt.Sprintf("policy %s version %d is evaluated beside the active one, and decides nothing", p.ID(), p.Version()), "sha256", fmt.Sprintf("%x", p.SHA256()))
	}
}

func (s *server) shadowChanged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shadowPolicy != "" && stampOf(s.shadowPolicy) != s.shadowStamp
}

// newShadowMetric counts what the shadow policy says, by what the active one does.
func newShadowMetric(reg *prometheus.Registry) func(*kernel.Shadowed) {
	both := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "helm_shadow_decisions_total",
		Help: "Decisions of this process beside which a shadow policy was evaluated, by the verdict of each; differs: by verdict or rule; failed: it could not be evaluated."},
		[]string{"active", "shadow", "differs", "failed"})
	reg.MustRegister(both)
	return func(s *kernel.Shadowed) {
		if s != nil {
			both.WithLabelValues(string(s.Active), string(s.Shadow), fmt.Sprint(s.Differs), fmt.Sprint(s.Failed)).Inc()
		}
	}
}

// shadowLines are what the status says of a shadow policy.
func shadowLines(st *httpapi.BoundaryAnswer) (out []string) {
	if s := st.Shadow; s != nil {
		out = append(out, fmt.Sprintf("%s version %d, sha256 %s", s.ID, s.Version, s.SHA256),
			fmt.Sprintf("decides nothing; of %d calls since %s it says another thing of %d", s.Decided, s.Since, s.Differ))
		var changes []string
		for _, c := range s.Changes {
			changes = append(changes, fmt.Sprintf("%d %s -> %s", c.Count, c.Active, c.Shadow))
		}
		if len(changes) > 0 {
			out = append(out, strings.Join(changes, ", "))
		}
		if s.Failed > 0 {
			out = append(out, fmt.Sprintf("of %d calls it could not be evaluated", s.Failed))
		}
	}
	if st.Process.ShadowError != "" {
		out = append(out, fmt.Sprintf("the file %s was not taken: %s", st.Process.ShadowFile, st.Process.ShadowError))
	}
	return out
}
