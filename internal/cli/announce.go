package cli

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/announce"
)

// announceConfig is how serve is told to announce approvals.
type announceConfig struct {
	webhook    string // URL, or ""
	secretFile string
	arguments  bool
	command    string
}

func (c *announceConfig) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.webhook, "approval-webhook", "", "a URL that is told of every call that waits for an answer")
	f.StringVar(&c.secretFile, "approval-webhook-secret-file", "", `the secret that signs what it is told: "whsec_" and base64`)
	f.BoolVar(&c.arguments, "approval-arguments", false, "what is told of a call that waits holds its arguments and context")
	f.StringVar(&c.command, "approval-command", "", "a program, and its arguments, cut at blanks, that is run for every call that waits for an answer")
}

// announcer is what announces approvals, or nil.
func (s *server) newAnnouncer() (*announce.Announcer, error) {
	c, out := s.announce, announce.Config{Kernel: s.kernel, URL: s.announce.webhook, Arguments: s.announce.arguments, Log: s.serveConfig.log}
	if c.webhook == "" && c.command == "" {
		if c.secretFile != "" || c.arguments {
			return nil, usagef("nobody is told of approvals: --approval-webhook or --approval-command says who")
		}
		return nil, nil
	}
	if c.webhook != "" {
		u, err := url.Parse(c.webhook)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, usagef("--approval-webhook is no http or https URL")
		}
		if c.secretFile == "" {
			return nil, usagef("--approval-webhook needs --approval-webhook-secret-file: a receiver could not tell the kernel's messages from others")
		}
		if err := private("webhook's secret", c.secretFile); err != nil {
			return nil, err
		}
		b, err := os.ReadFile(c.secretFile)
		if err != nil {
			return nil, fmt.Errorf("read webhook's secret: %w", err)
		}
		if out.Secret, err = announce.ParseSecret(string(b)); err != nil {
			return nil, fmt.Errorf("%s: %w", c.secretFile, err)
		}
	}
	if c.command != "" {
		out.Command = strings.Fields(c.command)
		if len(out.Command) == 0 {
			return nil, usagef("--approval-command names no program")
		}
		if _, err := exec.LookPath(out.Command[0]); err != nil {
			return nil, usagef("--approval-command: %w", err)
		}
	}
	return announce.New(out), nil
}

// announcing is what boundary status says of it.
func (s *server) announcing() *httpapi.Announcing {
	if s.announcer == nil {
		return nil
	}
	n := s.announcer.Counts()
	return &httpapi.Announcing{Webhook: s.announce.webhook != "", Command: s.announce.command != "", Delivered: n.Delivered, Failed: n.Failed, Expired: n.Expired, Waiting: n.Waiting, LastError: n.LastError}
}
