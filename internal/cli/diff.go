package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/replay"
)

func (a *app) diffCmd() *cobra.Command {
	var against, trust string
	var examples int
	c := &cobra.Command{Use: "diff OLD NEW --against CALLS|PACK|URL", Short: "Say which recorded calls another policy would decide otherwise",
		Long: `Evaluate recorded calls under two policy files, and say which of them would be decided
otherwise: first what the new policy lets pass and the old one did not.

The calls are those of a file as "decide" reads it, NDJSON, where a line may also have
"principal", "boundary" and "now"; of an EvidencePack; or of a server's whole log, which is
asked for with the operator's token. What a pack hides is never taken for unchanged.

Exit codes: 0 nothing changes, 1 something does, 2 unreadable or wrong usage, 3 it cannot be
told of some call or there is none, or no server answers.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("diff takes two policy files, there are %d arguments: %s", len(args), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			if against == "" {
				return usagef("policy diff needs --against: a file of calls, an EvidencePack, or a server's address")
			}
			if examples < 0 {
				return usagef("--examples is %d: it must be a number from 0", examples)
			}
			d := &policy.Diff{Examples: examples}
			for i, to := range []**policy.Policy{&d.Old, &d.New} {
				src, err := os.ReadFile(files[i])
				if err == nil {
					*to, err = policy.Compile(files[i], src)
				}
				if err != nil {
					return &exitError{exitUsage, err}
				}
			}
			x := &diffing{app: a, Diff: d, trust: trust}
			if err := x.against(cmd.Context(), against); err != nil {
				return err
			}
			if err := x.show(); err != nil {
				return err
			}
			switch {
			case d.Changed > 0 || d.Old.Mode() != d.New.Mode():
				return &exitError{exitNo, nil}
			case d.CannotTell > 0 || d.Calls == 0:
				return &exitError{exitNoServer, nil} // 3, which means here that it cannot be told
			}
			return nil
		}}
	f := c.Flags()
	f.StringVar(&against, "against", "", "the calls: NDJSON, an EvidencePack, or a server's address such as http://"+defaultListen)
	f.IntVar(&examples, "examples", 3, "how many calls to show of each change")
	f.StringVar(&trust, "trust", "", "who signs a pack: a trust file; default: trust.policy in the home, where there is one")
	return c
}

// A diffing is a diff and where its calls come from.
type diffing struct {
	*app
	*policy.Diff
	trust string

	place    string // what a place is: "line" or "entry"
	kernel   uint64 // calls that the kernel itself decided
	verified string // what the verifier says of a pack
}

func (x *diffing) against(ctx context.Context, source string) error {
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		return x.ofServer(ctx, source)
	}
	f, err := os.Open(source)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer f.Close()
	// A pack begins with the name of its first file, and JSON never does.
	r := bufio.NewReader(f)
	if head, _ := r.Peek(len("checkpoint\x00")); string(head) == "checkpoint\x00" {
		return x.ofPack(source)
	}
	if err := x.ofCalls(r); err != nil {
		return &exitError{exitUsage, fmt.Errorf("%s:%w", source, err)}
	}
	return nil
}

// ofServer has the server export its log.
func (x *diffing) ofServer(ctx context.Context, address string) error {
	x.server = address
	c, err := x.client(true)
	if err != nil {
		return err
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/evidence", url.Values{"all": {"true"}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dir, err := os.MkdirTemp("", "helm-diff-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "log.tar")
	if _, err := x.save(name, resp.Body); err != nil {
		return &exitError{exitNoServer, fmt.Errorf("%s: read its log: %w", address, err)}
	}
	return x.ofPack(name)
}

func (x *diffing) ofPack(name string) error {
	x.place = "entry"
	ev, err := x.openEvidence(name, x.trust)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer ev.Close()
	x.verified = ev.report.Verdict
	for c, err := range replay.Calls(ev.pack, ev.report.Entries) {
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("%s: %w", name, err)}
		}
		if c.Kernel {
			x.kernel++
		}
		x.Add(c.Index, c.Input)
	}
	return nil
}

// A diffCall is a recorded call, with what only the kernel knew of it.
type diffCall struct {
	recordedCall
	Principal string `json:"principal,omitzero"`
	Boundary  string `json:"boundary,omitzero"`
	Now       string `json:"now,omitzero"`
}

// ofCalls reads a file of calls. An error begins with the line.
func (x *diffing) ofCalls(r io.Reader) error {
	x.place = "line"
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 2*httpapi.MaxBody)
	began := time.Now().UTC().Truncate(time.Microsecond)
	n := uint64(0)
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		call := diffCall{Principal: helm.PrincipalNone, Boundary: httpapi.Name}
		if err := json.Unmarshal(lines.Bytes(), &call, json.RejectUnknownMembers(true)); err != nil {
			return fmt.Errorf("%d: it is no recorded call: %w", n, httpapi.Misread(err))
		}
		now := began
		if call.Now != "" {
			var err error
			if now, err = receipt.ParseTime(call.Now); err != nil {
				return fmt.Errorf("%d: now: %w", n, err)
			}
		}
		in, err := kernel.PolicyInput(helm.Call{Agent: call.Agent, Session: call.Session, CallID: call.CallID, Tool: call.Tool,
			Arguments: []byte(call.Arguments), Context: []byte(call.Context), Principal: call.Principal, Boundary: call.Boundary}, now)
		if err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
		x.Add(n, in)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%d: %w", n+1, err)
	}
	return nil
}
