package verify

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
)

// Approvers say whose keys are whose: an allowed_signers file of SSH. It is what an
// auditor brings, to whom the names in a policy are the operator's word.
type Approvers struct{ signers []allowedSigner }

type allowedSigner struct {
	names         []string
	fingerprint   string
	after, before time.Time // zero: always
}

// MaxApproversBytes is the limit of a file of approvers.
const MaxApproversBytes = 1 << 20

// ParseApprovers reads an allowed_signers file as ssh-keygen(1) has it, strictly: names
// are written out, times are UTC, and keys are no certificates. A line whose namespaces
// do not hold that of approvals says nothing here.
func ParseApprovers(data []byte) (*Approvers, error) {
	if len(data) > MaxApproversBytes {
		return nil, fmt.Errorf("file of approvers: it has %d bytes: at most %d are allowed", len(data), MaxApproversBytes)
	}
	a := new(Approvers)
	for n := 1; len(data) > 0; n++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		s, here, err := parseSigner(string(line))
		if err != nil {
			return nil, fmt.Errorf("file of approvers: line %d: %w", n, err)
		}
		if here {
			a.signers = append(a.signers, s)
		}
	}
	return a, nil
}

// parseSigner reads a line, and reports whether it says who may sign approvals.
func parseSigner(line string) (s allowedSigner, here bool, err error) {
	for i := 0; i < len(line); i++ {
		if c := line[i]; c < 0x20 && c != '\t' || c >= 0x7f {
			return s, false, fmt.Errorf("the byte 0x%02x is not allowed", c)
		}
	}
	line = strings.Trim(line, " \t")
	if line == "" || line[0] == '#' {
		return s, false, nil
	}
	names, rest := word(line)
	for name := range strings.SplitSeq(names, ",") {
		if name == "" || strings.ContainsAny(name, `*?!"`) {
			return s, false, fmt.Errorf("the name %q is no name that a policy has: patterns are not taken", name)
		}
		s.names = append(s.names, name)
	}
	here = true
	if first, _ := word(rest); first != "" && !strings.HasPrefix(first, "ssh-") && !strings.HasPrefix(first, "sk-") && !strings.HasPrefix(first, "ecdsa-") {
		var options string
		if options, rest, err = quoted(rest); err == nil {
			here, err = s.options(options)
		}
		if err != nil {
			return s, false, err
		}
	}
	k, err := sshsig.ParseKey(rest)
	if err != nil {
		return s, false, err
	}
	s.fingerprint = k.Fingerprint()
	return s, here, nil
}

// word cuts off what stands before the first blank.
func word(s string) (first, rest string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}

// quoted cuts off what stands before the first blank outside of quotes.
func quoted(s string) (first, rest string, err error) {
	in := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			in = !in
		case !in && (s[i] == ' ' || s[i] == '\t'):
			return s[:i], strings.TrimLeft(s[i:], " \t"), nil
		}
	}
	if in {
		return "", "", errors.New("a quote is not closed")
	}
	return "", "", errors.New("there is no key")
}

// options reads the options of a line, and reports whether it is for approvals.
func (s *allowedSigner) options(text string) (here bool, err error) {
	here = true
	seen := map[string]bool{}
	for text != "" {
		name, rest, _ := strings.Cut(text, "=")
		name = strings.ToLower(name)
		value, after, closed := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
		if !strings.HasPrefix(rest, `"`) || !closed || after != "" && (after[0] != ',' || after == ",") {
			return false, fmt.Errorf(`the options %q are not of the form namespaces="...",valid-after="...",valid-before="..."`, text)
		}
		if seen[name] {
			return false, fmt.Errorf("the option %s is given twice", name)
		}
		seen[name] = true
		switch name {
		case "namespaces":
			here = slices.ContainsFunc(strings.Split(value, ","), func(p string) bool { return p == receipt.ApprovalNamespace || p == "*" })
		case "valid-after":
			s.after, err = signerTime(value)
		case "valid-before":
			s.before, err = signerTime(value)
		default:
			return false, fmt.Errorf("the option %q is not taken: namespaces, valid-after and valid-before are", name)
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		text = strings.TrimPrefix(after, ",")
	}
	return here, nil
}

// signerTime reads a time of an allowed_signers file. Without a Z it would be that of
// whatever place the file is read in.
func signerTime(s string) (time.Time, error) {
	for _, layout := range []string{"20060102Z", "200601021504Z", "20060102150405Z"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not of the form 20060102150405Z, in UTC", s)
}

// has reports whether the key is that person's at that time.
func (a *Approvers) has(name string, k *sshsig.Key, at time.Time) bool {
	return slices.ContainsFunc(a.signers, func(s allowedSigner) bool {
		return slices.Contains(s.names, name) && s.fingerprint == k.Fingerprint() &&
			(s.after.IsZero() || !at.Before(s.after)) && (s.before.IsZero() || at.Before(s.before))
	})
}
