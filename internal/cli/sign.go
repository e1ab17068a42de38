package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/term"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// An escalation is an ESCALATE that was verified: its receipt is signed by the log whose
// key is trusted, and commits to exactly this input. It is what a person is shown
// before he signs; what else the server says is not.
type escalation struct {
	*receipt.Decision
	id        string
	st        *receipt.Statement
	statement receipt.Hash // its SHA-256
	input     string       // {"arguments":...,"context":...}
}

// openEscalation verifies what a server says of the approval that was asked for.
func openEscalation(w *httpapi.ApprovalAnswer, asked string, trust *verify.Trust) (*escalation, error) {
	if len(w.Input) == 0 || w.Opening == "" {
		return nil, errors.New("the input of the call was erased: nobody can see what he would sign")
	}
	v, err := strictjson.Parse(w.Input)
	if err != nil || v.Kind != strictjson.Object {
		return nil, errors.New("the server's answer cannot be verified: the call's input is no JSON object")
	}
	call := strictjson.Value{Kind: strictjson.Object, Members: append(slices.Clone(v.Members), strictjson.Member{Name: "opening", Value: strictjson.Value{Kind: strictjson.String, Text: w.Opening}})}
	rep, err := verify.Receipt(append(bytes.Clone(w.Receipt), '\n'), call.Append(nil), verify.Options{Trust: trust})
	if err != nil {
		return nil, fmt.Errorf("the server's answer cannot be verified: %w", err)
	}
	proved := 0
	for _, f := range rep.Findings {
		switch {
		case f.Status == verify.Wrong, f.Question == verify.Signer && f.Status != verify.OK:
			return nil, fmt.Errorf("NOT SIGNED: the server shows what its log does not hold: %s", f.Text)
		case f.Status == verify.OK && (f.Question == verify.Signer || f.Code == "call"):
			proved++
		}
	}
	if proved != 2 {
		return nil, errors.New("NOT SIGNED: the server's answer does not prove whose log it is, and which call")
	}
	env, err := receipt.ParseEnvelope(w.Receipt)
	if err != nil {
		return nil, err
	}
	st, err := receipt.ParseStatement(env.Payload)
	if err != nil {
		return nil, err
	}
	leaf := st.Leaf(env.Payload).Hash()
	e := &escalation{id: hex.EncodeToString(leaf[:]), st: st, statement: receipt.StatementHash(env.Payload), input: string(v.Append(nil))}
	var ok bool
	if e.Decision, ok = st.Body.(*receipt.Decision); !ok || e.Escalation == nil {
		return nil, fmt.Errorf("NOT SIGNED: entry %d is no ESCALATE that waits for an answer", st.Index)
	}
	if asked != e.id && asked != strconv.FormatUint(st.Index, 10) {
		return nil, fmt.Errorf("NOT SIGNED: %s was asked for, and the server shows entry %d, %s", asked, st.Index, e.id)
	}
	return e, nil
}

// text is what is signed.
func (e *escalation) text(answer, approver string) []byte {
	return receipt.ApprovalText(answer, e.st.Origin, e.statement, e.st.Subject.SHA256, e.Escalation.Expires, approver)
}

// approver is the name under which the key may answer.
func (e *escalation) approver(fingerprint string) (string, error) {
	var could []string
	for _, r := range e.Escalation.Requires {
		for _, k := range r.Keys {
			if k.Fingerprint == fingerprint {
				return k.Name, nil
			}
			if s := k.Name + " " + k.Fingerprint; !slices.Contains(could, s) {
				could = append(could, s)
			}
		}
	}
	if len(could) == 0 {
		return "", fmt.Errorf("rule %s asks for no signature, but for the answer of an operator's token: leave out --key", e.Rule)
	}
	return "", fmt.Errorf("the key %s is none of those that can answer: %s", fingerprint, strings.Join(could, ", "))
}

// loadSigner finds the key of a file: a private key, or by its public key one that an
// ssh-agent holds.
func (a *app) loadSigner(path string) (ssh.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("read key: %w", err)}
	}
	if !bytes.Contains(b, []byte("PRIVATE KEY-----")) {
		key, err := sshsig.ParseKey(string(b))
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("%s: %w", path, err)}
		}
		return fromAgent(key)
	}
	if err := private("key", path); err != nil {
		return nil, err
	}
	if pub, err := os.ReadFile(path + ".pub"); err == nil && bytes.HasPrefix(pub, []byte("sk-")) {
		return nil, fmt.Errorf("%s is a FIDO key, which signs through ssh-agent only: `ssh-add %s`, and then --key %s.pub", path, path, path)
	}
	signer, err := ssh.ParsePrivateKey(b)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		in, ok := a.in.(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) {
			return nil, fmt.Errorf("%s has a passphrase, and there is no terminal to ask for it: `ssh-add %s`, and then --key %s.pub", path, path, path)
		}
		fmt.Fprintf(a.err, "Passphrase of %s: ", safeText(path))
		passphrase, perr := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(a.err)
		if perr != nil {
			return nil, perr
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(b, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w. A FIDO key signs through ssh-agent only: `ssh-add %s`, and then --key %s.pub", path, err, path, path)
	}
	return signer, nil
}

// fromAgent is a key that the ssh-agent of SSH_AUTH_SOCK holds. A FIDO key asks for
// touch as it signs.
func fromAgent(key *sshsig.Key) (ssh.Signer, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, errors.New("a public key names one in an ssh-agent, and SSH_AUTH_SOCK names none: start one with `eval $(ssh-agent)` and `ssh-add`, or give the file of the private key")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("the ssh-agent that SSH_AUTH_SOCK names: %w", err)
	}
	signers, err := agent.NewClient(conn).Signers() // conn is open until the program ends
	if err != nil {
		return nil, fmt.Errorf("the ssh-agent that SSH_AUTH_SOCK names: %w", err)
	}
	for _, s := range signers {
		if ssh.FingerprintSHA256(s.PublicKey()) == key.Fingerprint() {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the ssh-agent does not hold the key %s: add it with ssh-add", key.Fingerprint())
}

// trustFile reads whose log it is, which no server is asked for.
func (a *app) trustFile(path string) (*verify.Trust, error) {
	if path == "" {
		path = (&home{dir: a.home}).trust()
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("there is no %s: nothing is signed for a log whose key is not known. Bring the log's trust.policy from whoever runs it, and name it with --trust", path)
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	t, err := verify.ParseTrust(b)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("%s: %w", path, err)}
	}
	return t, nil
}
