package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func (a *app) approversCmd() *cobra.Command {
	var signers bool
	c := &cobra.Command{Use: "approvers FILE", Short: "Who may answer escalations", Args: exactly(1),
		Long: `Print the people that a policy file names, with their keys. With --allowed-signers the
output is a file for ssh-keygen -Y verify -n ` + receipt.ApprovalNamespace + `,
and for verify --approvers; those that are revoked are left out.`,
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := os.ReadFile(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			p, err := policy.Compile(args[0], src)
			if err != nil {
				return err
			}
			if signers {
				_, err := a.out.Write(p.AllowedSigners(receipt.ApprovalNamespace))
				return err
			}
			rows := [][]string{{"NAME", "GROUPS", "KEY", ""}}
			out := []map[string]any{}
			for _, one := range p.Approvers() {
				state := ""
				if one.Revoked {
					state = "revoked"
				}
				rows = append(rows, []string{one.Name, strings.Join(one.Groups, ","), one.Fingerprint, state})
				out = append(out, map[string]any{"name": one.Name, "groups": one.Groups, "key": one.Key, "fingerprint": one.Fingerprint, "revoked": one.Revoked})
			}
			if a.json {
				return a.printJSON(map[string]any{"approvers": out})
			}
			a.table(rows)
			return nil
		}}
	c.Flags().BoolVar(&signers, "allowed-signers", false, "print an SSH allowed_signers file")
	return c
}
