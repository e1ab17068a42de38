package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
)

// watchEvery is how often approvals are looked at.
const watchEvery = time.Second

func (a *app) watchCmd() *cobra.Command {
	return &cobra.Command{Use: "watch", Short: "Follow the calls that wait for an answer", Args: exactly(0),
		Long: `Follow the calls that wait for an answer: each as it begins to wait, with how to answer
it, and what became of it. It ends when it is interrupted. With --json every line is an
approval, as it is then.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(true)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			err = a.watchApprovals(ctx, c)
			if ctx.Err() != nil {
				return nil // it was interrupted, as it is meant to be
			}
			return err
		}}
}

func (a *app) watchApprovals(ctx context.Context, c *client) error {
	waits := map[string]bool{}
	show := func(w *httpapi.ApprovalAnswer) error {
		if a.json {
			b, err := json.Marshal(w)
			if err == nil {
				_, err = a.out.Write(append(b, '\n'))
			}
			return err
		}
		if waits[w.ID] {
			a.showApproval(w)
			a.printf("  answer with: helm-ai-kernel approvals approve %s, or deny\n", w.ID[:min(len(w.ID), 8)])
			return nil
		}
		a.printf("%s is %s\n", a.paint(bold, w.ID), w.State)
		return nil
	}
	for {
		var got struct {
			Approvals []httpapi.ApprovalAnswer `json:"approvals"`
		}
		if err := c.ask(ctx, http.MethodGet, "/v1/approvals", nil, nil, &got); err != nil {
			return err
		}
		now := map[string]bool{}
		for i := range got.Approvals {
			w := &got.Approvals[i]
			now[w.ID] = true
			if !waits[w.ID] {
				waits[w.ID] = true
				if err := show(w); err != nil {
					return err
				}
			}
		}
		for id := range waits {
			if now[id] {
				continue
			}
			delete(waits, id)
			var w httpapi.ApprovalAnswer
			if err := c.ask(ctx, http.MethodGet, "/v1/approvals/"+id, nil, nil, &w); err != nil {
				return err
			}
			if err := show(&w); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}
