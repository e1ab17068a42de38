package verify

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A Question is one of the separate questions that a verifier answers.
type Question string

// The questions, in the order of the answers.
const (
	Integrity    Question = "integrity"    // bytes, hashes, signatures, inclusion
	Signer       Question = "signer"       // whose key it is
	Query        Question = "query"        // what the pack was asked for
	Completeness Question = "completeness" // whether something was left out
	Policy       Question = "policy"       // under which rules, and whether they held
	Outcomes     Question = "outcomes"     // what was reported afterwards
	Approvals    Question = "approvals"    // who answered an ESCALATE
	Witnesses    Question = "witnesses"    // what somebody outside has seen
	Time         Question = "time"         // whose clock it is
)

var questions = []Question{Integrity, Signer, Query, Completeness, Policy, Outcomes, Approvals, Witnesses, Time}

// A Status is what a finding says of its question.
type Status string

// The statuses of a finding.
const (
	OK        Status = "ok"         // proved
	Wrong     Status = "wrong"      // the evidence contradicts itself, or what must hold
	NotProved Status = "not_proved" // required, and not shown
	Info      Status = "info"       // to be known; it decides nothing
)

// A Finding is one line of the answer. Codes are stable: spec/verify.md lists them.
type Finding struct {
	Question Question
	Code     string
	Status   Status
	Text     string
	Index    *uint64 // of the entry that it is about
	ID       string  // the entry's leaf hash in hex, where it is known
}

// The exit codes of a verifier.
const (
	ExitOK         = 0 // everything required holds
	ExitWrong      = 1 // the evidence is wrong
	ExitUnreadable = 2 // it could not be read, or wrong usage
	ExitNotProved  = 3 // consistent, but not everything required is proved
)

// A Report is a verifier's whole answer.
type Report struct {
	Exit     int
	Verdict  string // one line
	Findings []Finding

	// What the evidence says about itself; believe it as far as the findings go.
	Origin      string
	Fingerprint string // leaf hash of genesis, in hex
	Key         string // fingerprint of the newest key, as receipt.KeyID
	Size        uint64 // of the log
	Root        string // of its tree, in hex
	Entries     uint64 // that were examined

	TrustFile string // the name of the file that Options.Trust was read from, which the caller sets, or ""
}

// maxWrong is how many findings that are wrong are told one by one.
const maxWrong = 100

type reporter struct {
	findings []Finding
	wrong    int
	wrongIn  map[Question]int
}

func (r *reporter) add(q Question, s Status, code, format string, args ...any) *Finding {
	if s == Wrong {
		if r.wrongIn == nil {
			r.wrongIn = map[Question]int{}
		}
		r.wrongIn[q]++
		if r.wrong++; r.wrong > maxWrong {
			return new(Finding)
		}
	}
	r.findings = append(r.findings, Finding{Question: q, Code: code, Status: s, Text: fmt.Sprintf(format, args...)})
	return &r.findings[len(r.findings)-1]
}

// count is a number of things, for people.
func count(n uint64, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "y") && !strings.HasSuffix(what, "ey"):
		what = what[:len(what)-1] + "ies"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// at says which entry a finding is about.
func (f *Finding) at(index uint64, id receipt.Hash) {
	f.Index = &index
	if id != (receipt.Hash{}) {
		f.ID = hex.EncodeToString(id[:])
	}
}

// finish puts the findings in order, what is wrong first within each question, and
// draws the conclusion.
func (r *reporter) finish(rep *Report, allowPartial bool) {
	if n := r.wrong - maxWrong; n > 0 {
		r.findings = append(r.findings, Finding{Question: Integrity, Code: "more", Status: Wrong, Text: fmt.Sprintf("%d more findings like these are not listed", n)})
	}
	count := map[Status]int{}
	for _, q := range questions {
		for _, s := range []Status{Wrong, NotProved, OK, Info} {
			for _, f := range r.findings {
				if f.Question != q || f.Status != s {
					continue
				}
				if s == NotProved && q == Completeness && allowPartial {
					f.Status = Info
					f.Text += " (allowed: partial evidence is accepted)"
				}
				count[f.Status]++
				rep.Findings = append(rep.Findings, f)
			}
		}
	}
	switch {
	case count[Wrong] > 0:
		rep.Exit, rep.Verdict = ExitWrong, "WRONG: the evidence does not hold"
	case count[NotProved] > 0:
		rep.Exit, rep.Verdict = ExitNotProved, "NOT PROVED: consistent, but not everything required is proved"
	default:
		rep.Exit, rep.Verdict = ExitOK, "VERIFIED: everything required holds"
	}
}

// Print writes the report for people: the verdict, what the evidence is about, and
// one line a finding. Nothing in it can move a terminal's cursor.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Verdict)
	trust := "none"
	if r.TrustFile != "" {
		trust = r.TrustFile
	}
	fmt.Fprintf(&b, "log          %s, %s\nfingerprint  %s\nkey          %s\ntrust file   %s\n\n", Escape(r.Origin), count(r.Size, "entry"), r.Fingerprint, r.Key, Escape(trust))
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-10s  %-12s  %s", strings.ReplaceAll(string(f.Status), "_", " "), f.Question, Escape(f.Text))
		fmt.Fprintf(&b, " [%s]\n", f.Code)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Escape makes everything in s that is not a printable ASCII character visible, so
// that it cannot move a terminal's cursor.
func Escape(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			q := strconv.QuoteToASCII(s)
			return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
		}
	}
	return s
}

// JSON is the report as one line of JSON, as spec/verify.schema.json describes it.
func (r *Report) JSON() []byte {
	b := fmt.Appendf(nil, `{"exit":%d,"verdict":`, r.Exit)
	b = strictjson.AppendString(b, r.Verdict)
	b = append(b, `,"log":{"origin":`...)
	b = strictjson.AppendString(b, r.Origin)
	b = append(b, `,"fingerprint":`...)
	b = strictjson.AppendString(b, r.Fingerprint)
	b = append(b, `,"key":`...)
	b = strictjson.AppendString(b, r.Key)
	b = fmt.Appendf(b, `,"size":%d,"root":`, r.Size)
	b = strictjson.AppendString(b, r.Root)
	b = append(b, '}')
	if r.TrustFile != "" {
		b = append(b, `,"trust_file":`...)
		b = strictjson.AppendString(b, strings.ToValidUTF8(r.TrustFile, "\ufffd"))
	}
	b = fmt.Appendf(b, `,"entries":%d,"findings":[`, r.Entries)
	for i, f := range r.Findings {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"question":`...)
		b = strictjson.AppendString(b, string(f.Question))
		b = append(b, `,"code":`...)
		b = strictjson.AppendString(b, f.Code)
		b = append(b, `,"status":`...)
		b = strictjson.AppendString(b, string(f.Status))
		b = append(b, `,"text":`...)
		b = strictjson.AppendString(b, strings.ToValidUTF8(f.Text, "\ufffd"))
		if f.Index != nil {
			b = fmt.Appendf(b, `,"index":%d`, *f.Index)
		}
		if f.ID != "" {
			b = append(b, `,"id":`...)
			b = strictjson.AppendString(b, f.ID)
		}
		b = append(b, '}')
	}
	return append(b, "]}\n"...)
}
