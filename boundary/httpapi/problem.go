package httpapi

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
)

// A Problem is an RFC 9457 problem document. Every one carries the verdict DENY:
// who asked for a decision and got none must not act.
type Problem struct {
	Type    string       `json:"type"` // "about:blank"
	Title   string       `json:"title"`
	Status  int          `json:"status"`
	Detail  string       `json:"detail"`
	Code    helm.Code    `json:"code"` // stable
	Verdict helm.Verdict `json:"verdict"`
}

var statuses = map[helm.Code]int{
	helm.BadRequest:       http.StatusBadRequest,
	helm.TooLarge:         http.StatusRequestEntityTooLarge,
	helm.Unauthenticated:  http.StatusUnauthorized,
	helm.Forbidden:        http.StatusForbidden,
	helm.NotFound:         http.StatusNotFound,
	helm.MethodNotAllowed: http.StatusMethodNotAllowed,
	helm.Conflict:         http.StatusConflict,
	helm.Overloaded:       http.StatusTooManyRequests,
	helm.RateLimited:      http.StatusTooManyRequests,
	helm.NotRecorded:      http.StatusServiceUnavailable,
	helm.KernelStopped:    http.StatusServiceUnavailable,
}

func refuse(code helm.Code, format string, args ...any) error {
	return &kernel.Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// problem answers with an error.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, err error) {
	p := Problem{Type: "about:blank", Code: helm.NotRecorded, Detail: err.Error(), Verdict: helm.Deny}
	if e := (*kernel.Error)(nil); errors.As(err, &e) {
		p.Code = e.Code
	}
	p.Status = statuses[p.Code]
	if p.Status == 0 {
		p.Status = http.StatusServiceUnavailable
	}
	p.Title = http.StatusText(p.Status)
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="helm-ai-kernel"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	b := marshalProblem(&p)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(b)
}

// equal compares in constant time.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
