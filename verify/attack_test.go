package verify_test

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// A tarball is a pack taken apart, to be tampered with.
type tarball struct {
	names []string
	data  map[string][]byte
}

func open(t testing.TB, b []byte) *tarball {
	t.Helper()
	tb := &tarball{data: map[string][]byte{}}
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return tb
		}
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		tb.names = append(tb.names, h.Name)
		tb.data[h.Name] = data
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bytes puts the tar together again, with Go's tar, whose plain headers are the
// ones of spec/pack.md.
func (tb *tarball) bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range tb.names {
		must(t, w.WriteHeader(&tar.Header{Name: n, Size: int64(len(tb.data[n])), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}))
		_, err := w.Write(tb.data[n])
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func (tb *tarball) remove(name string) {
	tb.names = slices.DeleteFunc(tb.names, func(n string) bool { return n == name })
	delete(tb.data, name)
}

// lines changes the lines of a file; each keeps its LF.
func (tb *tarball) lines(name string, edit func([]string) []string) {
	l := strings.SplitAfter(string(tb.data[name]), "\n")
	tb.data[name] = []byte(strings.Join(edit(l[:len(l)-1]), ""))
}

// seal is what only the operator can do: it makes pack.json fit to the files again.
func (tb *tarball) seal(t testing.TB, l *packtest.Log, edit func(*receipt.Pack)) {
	t.Helper()
	env, err := receipt.ParsePackFile(tb.data[pack.PackFile])
	must(t, err)
	p, err := receipt.ParsePack(env.Payload)
	must(t, err)
	p.Files = nil
	for _, n := range tb.names {
		if n != pack.PackFile && n != pack.Redaction {
			p.Files = append(p.Files, receipt.Subject{Name: n, SHA256: sha256.Sum256(tb.data[n])})
		}
	}
	if edit != nil {
		edit(p)
	}
	st, err := p.Marshal()
	must(t, err)
	sig, err := receipt.Sign(l.Key, st)
	must(t, err)
	b, err := receipt.MarshalPackFile(&receipt.Envelope{Payload: st, Signatures: []receipt.Signature{sig}})
	must(t, err)
	tb.data[pack.PackFile] = b
}

// redact is what any holder can do: claim that payloads.jsonl was redacted.
func (tb *tarball) redact(t testing.TB) {
	t.Helper()
	b, err := (&receipt.Redaction{Payloads: sha256.Sum256(tb.data[pack.Payloads]), Note: "hidden \x1b[2J by me"}).Marshal()
	must(t, err)
	if tb.data[pack.Redaction] == nil {
		tb.names = append(tb.names, pack.Redaction)
	}
	tb.data[pack.Redaction] = b
}

// entry changes the envelope on line n of entries.jsonl.
func (tb *tarball) entry(t testing.TB, n int, edit func(*receipt.Envelope)) {
	t.Helper()
	tb.lines(pack.Entries, func(l []string) []string {
		e, err := receipt.ParseEnvelope([]byte(strings.TrimSuffix(l[n], "\n")))
		must(t, err)
		edit(e)
		b, err := e.Marshal()
		must(t, err)
		l[n] = string(b) + "\n"
		return l
	})
}

var everything = receipt.Query{All: true}

func TestTamperingToolsAreFaithful(t *testing.T) {
	l := packtest.New("x").Demo()
	b := l.Pack(everything, pack.Options{})
	tb := open(t, b)
	if !bytes.Equal(tb.bytes(t), b) {
		t.Fatal("Go's archive/tar writes other headers than the spec's")
	}
	tb.seal(t, l, nil)
	if !bytes.Equal(tb.bytes(t), b) {
		t.Fatal("sealing an untouched pack changes it")
	}
}

// verdict is the exit code and the codes of findings that are wrong or not proved.
func verdict(t *testing.T, b []byte, o verify.Options) (exit int, codes []string, text string) {
	t.Helper()
	r, err := verify.Pack(bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		return verify.ExitUnreadable, nil, err.Error()
	}
	for _, f := range r.Findings {
		if f.Status == verify.Wrong || f.Status == verify.NotProved {
			codes = append(codes, f.Code)
		}
	}
	return r.Exit, codes, print(r)
}

// TestEveryByte flips one bit of every byte of a small pack in turn.
func TestEveryByte(t *testing.T) {
	l := packtest.New("bytes")
	l.Decide("agent.a", "s1", helm.Allow, nil, nil)
	good := l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{})
	o := verify.Options{Trust: trust(t, l.Trust())}
	if exit, _, text := verdict(t, good, o); exit != verify.ExitOK {
		t.Fatalf("the untouched pack: exit %d\n%s", exit, text)
	}
	const parts = 4
	for part := range parts {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			b := bytes.Clone(good)
			for i := part; i < len(b); i += parts {
				b[i] ^= 1 << (i % 7)
				if exit, _, text := verdict(t, b, o); exit == verify.ExitOK || exit == verify.ExitNotProved {
					t.Fatalf("byte %d of %d changed: exit %d\n%s", i, len(b), exit, text)
				}
				b[i] = good[i]
			}
		})
	}
}

// TestTruncated cuts a pack off everywhere that a block ends, and around.
func TestTruncated(t *testing.T) {
	l := packtest.New("cut").Demo()
	b := l.Pack(receipt.Query{Agent: "agent.b"}, pack.Options{})
	for i := 0; i < len(b); i += 512 {
		for _, n := range []int{i - 1, i, i + 1} {
			if n < 0 || n >= len(b) {
				continue
			}
			if exit, _, _ := verdict(t, b[:n], verify.Options{Trust: trust(t, l.Trust())}); exit != verify.ExitUnreadable {
				t.Errorf("cut off at %d of %d: exit %d", n, len(b), exit)
			}
		}
	}
	for _, more := range [][]byte{{0}, make([]byte, 512), make([]byte, 10240-len(b)%10240), b} {
		if exit, _, _ := verdict(t, append(bytes.Clone(b), more...), verify.Options{}); exit != verify.ExitUnreadable {
			t.Errorf("with %d bytes more: exit %d", len(more), exit)
		}
	}
}

// TestEntriesMoved deletes, doubles and moves each entry, as a holder could, and as
// an operator could who seals the pack again.
func TestEntriesMoved(t *testing.T) {
	l := packtest.New("moved").Demo()
	o := verify.Options{Trust: trust(t, l.Trust())}
	good := l.Pack(everything, pack.Options{})
	n := len(strings.SplitAfter(string(open(t, good).data[pack.Entries]), "\n")) - 1
	for name, edit := range map[string]func(l []string, i int) []string{
		"deleted": func(l []string, i int) []string { return slices.Delete(l, i, i+1) },
		"doubled": func(l []string, i int) []string { return slices.Insert(l, i, l[i]) },
		"swapped": func(l []string, i int) []string { j := (i + 1) % len(l); l[i], l[j] = l[j], l[i]; return l },
		"moved": func(l []string, i int) []string {
			e := l[i]
			l = slices.Delete(l, i, i+1)
			return slices.Insert(l, (i+5)%len(l), e)
		},
		"truncated": func(l []string, i int) []string { return l[:i] },
		"beheaded":  func(l []string, i int) []string { return l[i+1:] },
	} {
		for i := range n {
			for _, sealed := range []bool{false, true} {
				tb := open(t, good)
				tb.lines(pack.Entries, func(l []string) []string { return edit(l, i) })
				if sealed {
					tb.seal(t, l, nil)
				}
				if exit, _, text := verdict(t, tb.bytes(t), o); exit != verify.ExitWrong {
					t.Errorf("entry %d %s, sealed %t: exit %d\n%s", i, name, sealed, exit, text)
				}
			}
		}
	}
}

// An attack is a pack that lies, and the finding that it must meet.
type attack struct {
	name string
	make func(t *testing.T) ([]byte, verify.Options)
	exit int
	code string // of a finding; "" where the pack cannot even be read
}

// holder tampers with a good pack without the key.
func holder(q receipt.Query, edit func(t *testing.T, tb *tarball)) func(t *testing.T) ([]byte, verify.Options) {
	return func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("holder").Demo()
		tb := open(t, l.Pack(q, pack.Options{}))
		edit(t, tb)
		return tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}
	}
}

// operator tampers with a good pack and seals it again with the genuine key.
func operator(q receipt.Query, edit func(t *testing.T, tb *tarball), seal func(*receipt.Pack)) func(t *testing.T) ([]byte, verify.Options) {
	return func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("operator").Demo()
		tb := open(t, l.Pack(q, pack.Options{}))
		if edit != nil {
			edit(t, tb)
		}
		tb.seal(t, l, seal)
		return tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}
	}
}

// tools are entries such as "tools-added SERVER SERVER.TOOL=1".
func tools(entries ...string) func(l *packtest.Log) {
	return func(l *packtest.Log) {
		for _, e := range entries {
			words := strings.Fields(e)
			b := &receipt.Boundary{Principal: "agent:a", Boundary: "mcp.s", Event: words[0], Covers: words[1]}
			for _, w := range words[2:] {
				name, n, _ := strings.Cut(w, "=")
				b.Tools = append(b.Tools, receipt.Tool{Name: name, SHA256: receipt.Hash{n[0]}})
			}
			l.Tools(b)
		}
	}
}

// liar exports a pack of a log in which the kernel itself wrote what it may not.
func liar(build func(l *packtest.Log)) func(t *testing.T) ([]byte, verify.Options) {
	return liarWith(pack.Options{}, build)
}

func liarWith(o pack.Options, build func(l *packtest.Log)) func(t *testing.T) ([]byte, verify.Options) {
	return func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("liar")
		build(l)
		return l.Pack(everything, o), verify.Options{Trust: trust(t, l.Trust())}
	}
}

// genesis makes a log whose genesis is wrong.
func genesis(spoil func(*receipt.Statement)) func(t *testing.T) ([]byte, verify.Options) {
	return func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("genesis").Resign(func(st *receipt.Statement) bool {
			if st.Index == 0 {
				spoil(st)
			}
			return true
		})
		return l.Pack(everything, pack.Options{}), verify.Options{Trust: trust(t, l.Trust())}
	}
}

func marshal(st *receipt.Statement) []byte {
	b, err := st.Marshal()
	if err != nil {
		panic(err)
	}
	return b
}

// statement changes the statement on line n without signing it again.
func statement(t *testing.T, tb *tarball, n int, edit func(*receipt.Statement)) {
	t.Helper()
	tb.entry(t, n, func(e *receipt.Envelope) {
		st, err := receipt.ParseStatement(e.Payload)
		must(t, err)
		edit(st)
		e.Payload, err = st.Marshal()
		must(t, err)
	})
}

func decision(edit func(*receipt.Decision)) func(t *testing.T, tb *tarball) {
	return func(t *testing.T, tb *tarball) {
		statement(t, tb, 3, func(st *receipt.Statement) { edit(st.Body.(*receipt.Decision)) })
	}
}

func replace(file, old, new string) func(t *testing.T, tb *tarball) {
	return func(t *testing.T, tb *tarball) {
		t.Helper()
		if !bytes.Contains(tb.data[file], []byte(old)) {
			t.Fatalf("%s has no %q", file, old)
		}
		tb.data[file] = bytes.Replace(tb.data[file], []byte(old), []byte(new), 1)
	}
}

// payload is replace in payloads.jsonl, with a redaction that claims it was one.
func payload(old, new string) func(t *testing.T, tb *tarball) {
	return func(t *testing.T, tb *tarball) {
		replace(pack.Payloads, old, new)(t, tb)
		tb.redact(t)
	}
}

var attacks = []attack{
	// A holder without the key.
	{"agent changed", holder(everything, decision(func(d *receipt.Decision) { d.Agent = "agent.c" })), 1, "entry-signature"},
	{"principal changed", holder(everything, decision(func(d *receipt.Decision) { d.Principal = "ana" })), 1, "entry-signature"},
	{"tool changed", holder(everything, decision(func(d *receipt.Decision) { d.Tool = "demo.other" })), 1, "entry-signature"},
	{"rule changed", holder(everything, decision(func(d *receipt.Decision) { d.Rule = "other" })), 1, "entry-signature"},
	{"mode changed", holder(everything, decision(func(d *receipt.Decision) { d.Mode = helm.Shadow })), 1, "entry-signature"},
	{"verdict changed", holder(everything, decision(func(d *receipt.Decision) { d.Verdict = helm.Deny })), 1, "entry-signature"},
	{"time changed", holder(everything, func(t *testing.T, tb *tarball) {
		statement(t, tb, 3, func(st *receipt.Statement) { st.Time = st.Time.Add(time.Microsecond) })
	}), 1, "entry-signature"},
	{"index changed", holder(everything, func(t *testing.T, tb *tarball) {
		statement(t, tb, 3, func(st *receipt.Statement) { st.Index++ })
	}), 1, "entry-signature"},
	{"signature stripped", holder(everything, func(t *testing.T, tb *tarball) {
		tb.lines(pack.Entries, func(l []string) []string {
			i := strings.Index(l[3], `"signatures":[`)
			l[3] = l[3][:i] + "\"signatures\":[]}\n"
			return l
		})
	}), 1, "entry-unreadable"},
	{"signature zeroed", holder(everything, func(t *testing.T, tb *tarball) {
		tb.entry(t, 3, func(e *receipt.Envelope) { e.Signatures[0].Sig = [64]byte{} })
	}), 1, "entry-signature"},
	{"signature doubled", holder(everything, func(t *testing.T, tb *tarball) {
		tb.entry(t, 3, func(e *receipt.Envelope) { e.Signatures = append(e.Signatures, e.Signatures[0]) })
	}), 1, "entry-unreadable"},
	{"signature of another entry", holder(everything, func(t *testing.T, tb *tarball) {
		var other receipt.Signature
		tb.entry(t, 4, func(e *receipt.Envelope) { other = e.Signatures[0] })
		tb.entry(t, 3, func(e *receipt.Envelope) { e.Signatures[0] = other })
	}), 1, "entry-signature"},
	{"signature by another key", holder(everything, func(t *testing.T, tb *tarball) {
		tb.entry(t, 3, func(e *receipt.Envelope) {
			s, err := receipt.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), e.Payload)
			must(t, err)
			e.Signatures[0].Sig = s.Sig
		})
	}), 1, "entry-signature"},
	{"key id of another key", holder(everything, func(t *testing.T, tb *tarball) {
		tb.entry(t, 3, func(e *receipt.Envelope) { e.Signatures[0].KeyID = strings.Repeat("0", 64) })
	}), 1, "entry-signature"},
	{"a proof in an envelope", holder(everything, func(t *testing.T, tb *tarball) {
		tb.entry(t, 3, func(e *receipt.Envelope) { e.Proof = "c2sp.org/tlog-proof@v1" })
	}), 1, "entry-unreadable"},
	{"a session dropped", holder(receipt.Query{Agent: "agent.a"}, func(t *testing.T, tb *tarball) {
		tb.lines(pack.Entries, func(l []string) []string {
			return slices.DeleteFunc(l, func(s string) bool {
				e, err := receipt.ParseEnvelope([]byte(strings.TrimSuffix(s, "\n")))
				must(t, err)
				return bytes.Contains(e.Payload, []byte(`"session":"s2"`))
			})
		})
	}), 1, "entry-left-out"},
	{"policy bytes swapped", holder(everything, func(t *testing.T, tb *tarball) {
		var names []string
		for _, n := range tb.names {
			if strings.HasPrefix(n, "policies/") {
				names = append(names, n)
			}
		}
		tb.data[names[0]], tb.data[names[1]] = tb.data[names[1]], tb.data[names[0]]
	}), 1, "file-digest"},
	{"policy removed", holder(everything, func(t *testing.T, tb *tarball) { tb.remove(tb.names[1]) }), 1, "file-missing"},
	{"pack.json of a narrower pack", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("narrow").Demo()
		tb := open(t, l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{}))
		tb.data[pack.PackFile] = open(t, l.Pack(receipt.Query{Agent: "agent.a", Session: "s1"}, pack.Options{})).data[pack.PackFile]
		return tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}
	}, 1, "file-digest"},
	{"checkpoint of another size", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("narrow").Demo()
		tb := open(t, l.Pack(everything, pack.Options{}))
		tb.data[pack.Checkpoint] = []byte(l.Checkpoint(l.Size() - 1))
		return tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}
	}, 1, "checkpoint"},
	{"README changed", holder(everything, replace(pack.Readme, "helm-verify", "true       ")), 1, "file-digest"},

	// Disclosures, behind a redaction that nobody signed.
	{"array shown as object", holder(everything, payload(`["/arguments/to",{"array":1}]`, `["/arguments/to",{"object":["0"]}]`)), 1, "disclosure"},
	{"value changed", holder(everything, payload(`"acct_9"`, `"acct_8"`)), 1, "disclosure"},
	{"number rounded", holder(everything, payload(`9007199254740993`, `9007199254740992`)), 1, "disclosure"},
	{"field renamed", holder(everything, payload(`"/arguments/to"`, `"/arguments/ot"`)), 1, "disclosure"},
	{"field hidden as absent", holder(everything, payload(`{"object":["amount","to"]}`, `{"object":["amount"]}`)), 1, "disclosure"},
	{"disclosures swapped", holder(everything, func(t *testing.T, tb *tarball) {
		tb.lines(pack.Payloads, func(l []string) []string {
			a, rest, _ := strings.Cut(l[0], ",")
			b, rest2, _ := strings.Cut(l[1], ",")
			l[0], l[1] = a+","+rest2, b+","+rest
			return l
		})
		tb.redact(t)
	}), 1, "disclosure"},
	{"disclosure of an entry that is not there", holder(receipt.Query{Agent: "agent.a"}, func(t *testing.T, tb *tarball) {
		replace(pack.Payloads, `{"index":3,`, `{"index":4,`)(t, tb)
		tb.redact(t)
	}), 1, "disclosure"},
	{"disclosure not canonical", holder(everything, payload(`{"index":3,`, `{"index":03,`)), 1, "disclosure"},
	{"redaction of other bytes", holder(everything, func(t *testing.T, tb *tarball) {
		tb.redact(t)
		tb.lines(pack.Payloads, func(l []string) []string { return l[1:] })
	}), 1, "redaction"},

	// The operator, who signs pack.json again over files that he changed.
	{"a control entry left out", operator(receipt.Query{Agent: "agent.a"}, dropLines("/spec/freeze/v1"), nil), 1, "control-head"},
	{"a policy activation left out", operator(everything, dropLines("/spec/policy/v1"), nil), 1, "control-head"},
	{"a freeze left out of the end", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("freeze")
		l.Decide("agent.a", "s1", helm.Allow, nil, nil)
		l.Freeze()
		tb := open(t, l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{}))
		dropLines("/spec/freeze/v1")(t, tb)
		tb.seal(t, l, nil)
		return tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}
	}, 1, "entry-left-out"},
	{"an entry of the agent left out of the end", operator(receipt.Query{Agent: "agent.a"}, func(t *testing.T, tb *tarball) {
		tb.lines(pack.Entries, func(l []string) []string { return l[:len(l)-1] })
		tb.lines(pack.Payloads, func(l []string) []string { return l[:len(l)-1] })
	}, nil), 1, "entry-left-out"},
	{"the leaf of another statement", operator(everything, func(t *testing.T, tb *tarball) {
		b := tb.data[pack.Leaves]
		n := 2 + int(b[0])<<8 + int(b[1])
		copy(b[n+2+len("helm/leaf/v1 policy\n"):], base64.StdEncoding.EncodeToString(make([]byte, 32)))
	}, nil), 1, "leaf-differs"},
	{"a leaf too many", operator(everything, func(t *testing.T, tb *tarball) {
		b := tb.data[pack.Leaves]
		tb.data[pack.Leaves] = append(b, b[:2+int(b[0])<<8+int(b[1])]...)
	}, nil), 1, "leaf-unreadable"},
	{"a leaf too few", operator(everything, func(t *testing.T, tb *tarball) {
		tb.data[pack.Leaves] = tb.data[pack.Leaves][:len(tb.data[pack.Leaves])-1]
	}, nil), 1, "leaf-unreadable"},
	{"leaves removed against the statement", operator(everything, func(t *testing.T, tb *tarball) { tb.remove(pack.Leaves) }, nil), 1, "file-unlisted"},
	{"a consistency proof that is not there", operator(everything, nil, func(p *receipt.Pack) { p.ConsistencyFrom = 3 }), 1, "file-unlisted"},
	{"a node changed", operator(receipt.Query{Agent: "agent.b"}, func(t *testing.T, tb *tarball) { tb.data[pack.Nodes][0] ^= 1 }, nil), 1, "inclusion"},
	{"a node too many", operator(everything, func(t *testing.T, tb *tarball) { tb.data[pack.Nodes] = make([]byte, 32) }, nil), 1, "inclusion"},
	{"a node too few", operator(receipt.Query{Agent: "agent.b"}, func(t *testing.T, tb *tarball) {
		tb.data[pack.Nodes] = tb.data[pack.Nodes][32:]
	}, nil), 1, "inclusion"},
	{"the policy's bytes left out", operator(everything, func(t *testing.T, tb *tarball) { tb.remove(tb.names[1]) }, nil), 3, "policy-bytes"},
	{"the stream of another name", operator(receipt.Query{Agent: "agent.a"}, nil, func(p *receipt.Pack) { p.Query.Agent = "agent.z" }), 1, "stream-id"},
	{"another stream key", operator(receipt.Query{Agent: "agent.a"}, nil, func(p *receipt.Pack) { p.StreamKey = &receipt.StreamKey{1} }), 1, "entry-unreadable"},
	{"the stream key left out", operator(receipt.Query{Agent: "agent.a"}, nil, func(p *receipt.Pack) { p.StreamKey = nil }), 3, "stream-key-left-out"},
	{"a window that begins late", operator(receipt.Query{Agent: "agent.a", Since: at(7)}, nil, func(p *receipt.Pack) { p.Query.Since = time.Time{} }), 3, "window-start"},
	{"a window that ends early", operator(receipt.Query{Agent: "agent.a", Until: at(12)}, nil, func(p *receipt.Pack) { p.Query.Until = time.Time{} }), 3, "window-end"},
	{"everything, and a window that ends early", operator(receipt.Query{All: true, Until: at(12)}, nil, func(p *receipt.Pack) { p.Query.Until = time.Time{} }), 3, "window-end"},
	{"entries of another time", operator(receipt.Query{Agent: "agent.a"}, nil, func(p *receipt.Pack) { p.Query.Since = at(7) }), 1, "query-time"},
	{"a neighbour that is not before the beginning", operator(receipt.Query{Agent: "agent.a", Since: at(7)}, nil, func(p *receipt.Pack) { p.Query.Since = at(5) }), 3, "window-start"},
	{"a neighbour that is not after the end", operator(receipt.Query{Agent: "agent.a", Until: at(12)}, nil, func(p *receipt.Pack) { p.Query.Until = at(16) }), 3, "window-end"},
	{"a session that ends early without a close", operator(receipt.Query{Agent: "agent.a", Session: "s1", Until: at(8)}, nil, func(p *receipt.Pack) { p.Query.Until = time.Time{} }), 3, "window-end"},
	{"an entry between the neighbour and the window", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("x").Demo()
		l.Hide(12)
		return l.Pack(receipt.Query{Agent: "agent.a", Since: at(12)}, pack.Options{}), verify.Options{Trust: trust(t, l.Trust())}
	}, 3, "window-start"},
	{"a file listed and not here", operator(everything, nil, func(p *receipt.Pack) { p.Files = append(p.Files, receipt.Subject{Name: "more"}) }), 1, "file-missing"},
	{"another origin in pack.json", operator(everything, nil, func(p *receipt.Pack) { p.Origin = "helm.test/other" }), 1, "checkpoint"},
	{"leaves left out", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("x").Demo()
		return l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{NoLeaves: true}), verify.Options{Trust: trust(t, l.Trust())}
	}, 3, "no-leaves"},
	{"leaves left out, partial allowed", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("x").Demo()
		return l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{NoLeaves: true}), verify.Options{Trust: trust(t, l.Trust()), AllowPartial: true}
	}, 0, "no-leaves"},

	// The kernel itself, which signs what it may not.
	{"time runs backwards", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, nil)
		l.Spoil = func(st *receipt.Statement) { st.Time = l.Start }
		l.Decide("a", "s", helm.Allow, nil, nil)
	}), 1, "time-order"},
	{"two entries with one index", liar(func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Index = 1 }
		defer func() { l.Spoil = nil }()
		l.Boundary()
	}), 1, "order"},
	{"another origin", liar(func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Origin = "helm.test/other" }
		l.Boundary()
	}), 1, "origin"},
	{"a second chain of a session", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, nil)
		l.Decide("a", "s", helm.Allow, nil, nil)
		l.Spoil = func(st *receipt.Statement) { st.Streams[1].Seq, st.Streams[1].Prev = 1, receipt.Hash{} }
		l.Decide("a", "s", helm.Deny, nil, nil)
	}), 1, "stream-order"},
	{"a second chain of another stream id", liar(func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Streams[1].ID[0] ^= 1 }
		l.Decide("a", "s", helm.Deny, nil, nil)
	}), 1, "entry-unreadable"},
	{"a link to another entry", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, nil)
		l.Spoil = func(st *receipt.Statement) { st.Streams[0].Prev[0] ^= 1 }
		l.Decide("a", "s", helm.Deny, nil, nil)
	}), 1, "stream-prev"},
	{"a gap in a stream", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, nil)
		l.Spoil = func(st *receipt.Statement) { st.Streams[0].Seq++ }
		l.Decide("a", "s", helm.Deny, nil, nil)
	}), 1, "stream-prev"},
	{"an older control head", liar(func(l *packtest.Log) {
		l.Freeze()
		l.Spoil = func(st *receipt.Statement) {
			st.Control = receipt.Link{Seq: 2, Hash: l.Ref(1).ID}
			d := st.Body.(*receipt.Decision)
			d.Verdict, d.Reason.Code = helm.Allow, helm.AllowedByRule
		}
		l.Decide("a", "s", helm.Allow, nil, nil)
	}), 1, "control-head"},
	{"ALLOW while frozen", liar(func(l *packtest.Log) {
		l.Freeze()
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Verdict, d.Reason.Code = helm.Allow, helm.AllowedByRule })
	}), 1, "frozen"},
	{"FROZEN, and not frozen", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Deny, nil, func(d *receipt.Decision) { d.Reason.Code = helm.Frozen })
	}), 1, "frozen"},
	{"not enforced", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Deny, nil, func(d *receipt.Decision) { d.Enforced = false })
	}), 1, "not-enforced"},
	{"another policy than the active one", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Policy.Version = 7 })
	}), 1, "policy-not-active"},
	{"another mode than the active one", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Mode = helm.Shadow })
	}), 1, "policy-mode"},
	{"ALLOW against a DENY rule", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Matched[0].Verdict = helm.Deny })
	}), 1, "verdict"},
	{"ALLOW against an ESCALATE rule", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Matched[0].Verdict = helm.Escalate })
	}), 1, "verdict"},
	{"approved by nobody", liar(func(l *packtest.Log) {
		l.Approved(l.Decide("a", "s", helm.Escalate, nil, nil), nil)
	}), 1, "approval-mismatch"},
	{"approved, and no ESCALATE", liar(func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Reason.Code = helm.Approved })
	}), 1, "approval-none"},
	{"an approval used twice", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, nil)
		l.Approved(e, nil)
		l.Approved(e, nil)
	}), 1, "approval-mismatch"},
	{"an approval moved to another call", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, nil)
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Approval = &e })
	}), 1, "approval-mismatch"},
	{"an approval for another input", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, func(a *receipt.Approval) { a.Input[0] ^= 1 })
	}), 1, "approval-mismatch"},
	{"an approval moved to another ESCALATE", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		f := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, func(a *receipt.Approval) { a.Escalation = f })
	}), 1, "approval-mismatch"},
	{"an approval of another session", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, nil)
		l.Decide("b", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Approval = &e })
	}), 1, "approval-mismatch"},
	{"an approval after its expiry", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, func(d *receipt.Decision) { d.Escalation.Expires = d.Now })
		l.Answer(e, receipt.AnswerApprove, func(a *receipt.Approval) { a.Expires = l.Statement(e.Index).Time })
	}), 1, "approval-mismatch"},
	{"an approval used after its expiry", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, func(a *receipt.Approval) { a.Expires = l.Statement(e.Index).Time.Add(time.Second) })
		l.Approved(e, nil)
	}), 1, "approval-mismatch"},
	{"a refusal carried out", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerRefuse, nil)
		l.Approved(e, nil)
	}), 1, "approval-mismatch"},
	{"an operator where keys are asked for", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, func(d *receipt.Decision) {
			d.Escalation.Requires = []receipt.Requirement{{Rule: "r", Count: 1, Keys: []receipt.ApproverKey{{Name: "ana", Fingerprint: "SHA256:x"}}}}
		})
		l.Answer(e, receipt.AnswerApprove, nil)
	}), 1, "approval-mismatch"},
	{"an approval under another policy", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, nil)
		l.Activate("[policy]\nversion = 9\n", 9, helm.Enforce)
		l.Approved(e, nil)
	}), 1, "approval-mismatch"},
	{"an outcome moved to another call", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		b := l.Decide("a", "t", helm.Allow, nil, nil)
		l.Outcome(a, helm.OutcomeOK, func(o *receipt.Outcome) { o.Decision = b })
	}), 1, "outcome-mismatch"},
	{"an outcome of another tool", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		l.Outcome(a, helm.OutcomeOK, func(o *receipt.Outcome) { o.Tool = "demo.other" })
	}), 1, "outcome-mismatch"},
	{"an outcome that says ALLOW of a DENY", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Deny, nil, nil)
		l.Outcome(a, helm.OutcomeOK, func(o *receipt.Outcome) { o.Verdict = helm.Allow })
	}), 1, "outcome-mismatch"},
	{"an outcome of no decision", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		l.Outcome(a, helm.OutcomeOK, func(o *receipt.Outcome) { o.Decision.Index = 1 })
	}), 1, "reference"},
	{"two outcomes", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		l.Outcome(a, helm.OutcomeOK, nil)
		l.Outcome(a, helm.OutcomeError, nil)
	}), 1, "outcome-twice"},
	{"two outcomes, marked", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		first := l.Outcome(a, helm.OutcomeOK, nil)
		l.Outcome(a, helm.OutcomeError, func(o *receipt.Outcome) { o.Conflict = &first })
	}), 0, "outcome-conflict"},
	{"a DENY that ran", liar(func(l *packtest.Log) {
		l.Outcome(l.Decide("a", "s", helm.Deny, nil, nil), helm.OutcomeOK, nil)
	}), 1, "outcome-bypass"},
	{"a DENY that did not run", liar(func(l *packtest.Log) {
		l.Outcome(l.Decide("a", "s", helm.Deny, nil, nil), helm.OutcomeNotExecuted, nil)
	}), 0, "outcomes"},
	{"a DENY that ran in shadow mode", liar(func(l *packtest.Log) {
		l.Activate("[policy]\nmode = \"shadow\"\n", 2, helm.Shadow)
		l.Outcome(l.Decide("a", "s", helm.Deny, nil, nil), helm.OutcomeOK, nil)
	}), 0, "outcomes"},
	{"a call done twice", liar(func(l *packtest.Log) {
		id := func(d *receipt.Decision) { d.CallID = "c1" }
		l.Outcome(l.Decide("a", "s", helm.Allow, nil, id), helm.OutcomeOK, nil)
		l.Decide("a", "s", helm.Allow, nil, id)
	}), 1, "call-twice"},
	{"a policy entry about other bytes", liar(func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Subject.SHA256[0] ^= 1 }
		l.Activate("x", 3, helm.Enforce)
	}), 1, "policy-subject"},
	{"a freeze of another log", liar(func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Subject.SHA256[0] ^= 1 }
		l.Freeze()
	}), 1, "subject"},
	{"tools that are what they were", liar(tools(
		"tools-pinned s s.a=1 s.b=1", "tools-added s s.c=1", "tools-changed s s.a=2", "tools-changed s s.a=3", "tools-returned s s.a=1", "tools-changed s s.a=2",
		"tools-accepted s s.a=2", "tools-vanished s s.a=2 s.b=1", "tools-changed s s.b=2", "tools-returned s s.a=2", "tools-accepted s s.b=2",
		"tools-changed s s.a=3", "tools-vanished s s.a=3", "tools-accepted s s.a=3", "tools-returned s s.a=3")), 0, "policy"},
	{"a changed tool that is pinned again as if it were new", liar(tools("tools-pinned s s.a=1", "tools-pinned s s.a=2")), 1, "tools"},
	{"a changed tool that is added", liar(tools("tools-pinned s s.a=1", "tools-changed s s.a=2", "tools-added s s.a=2")), 1, "tools"},
	{"a changed tool that returns as it was not", liar(tools("tools-pinned s s.a=1", "tools-changed s s.a=2", "tools-returned s s.a=2")), 1, "tools"},
	{"a vanished tool that is added", liar(tools("tools-pinned s s.a=1", "tools-vanished s s.a=1", "tools-added s s.a=2")), 1, "tools"},
	{"a definition accepted that was not listed", liar(tools("tools-pinned s s.a=1", "tools-changed s s.a=2", "tools-accepted s s.a=3")), 1, "tools"},
	{"a definition accepted that was pinned", liar(tools("tools-pinned s s.a=1", "tools-accepted s s.a=1")), 1, "tools"},
	{"a tool accepted that was never listed", liar(tools("tools-accepted s s.a=1")), 1, "tools"},
	{"a change to what was pinned", liar(tools("tools-pinned s s.a=1", "tools-changed s s.a=1")), 1, "tools"},
	{"a change of a tool that was never listed", liar(tools("tools-changed s s.a=1")), 1, "tools"},
	{"a tool that vanishes as it was not", liar(tools("tools-pinned s s.a=1", "tools-vanished s s.a=2")), 1, "tools"},
	{"a tool that vanishes twice", liar(tools("tools-pinned s s.a=1", "tools-vanished s s.a=1", "tools-vanished s s.a=1")), 1, "tools"},
	{"a tool of another server", liar(tools("tools-pinned s t.a=1")), 1, "tools"},
	{"more tools than a kernel keeps", liar(func(l *packtest.Log) {
		for i := range receipt.MaxPins/receipt.MaxTools + 1 {
			b := &receipt.Boundary{Principal: "agent:a", Boundary: "mcp.s", Event: receipt.ToolsAdded, Covers: "s"}
			for j := range receipt.MaxTools {
				b.Tools = append(b.Tools, receipt.Tool{Name: fmt.Sprintf("s.%04d.%02d", i, j)})
			}
			l.Tools(b)
		}
	}), 1, "tools"},
	{"a key entry of another key", liar(func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Body.(*receipt.Key).Old[0] ^= 1 }
		l.Rotate()
	}), 1, "key"},
	{"a key entry that the new key did not sign", liar(func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Body.(*receipt.Key).New[0] ^= 1 }
		l.Rotate()
	}), 1, "entry-unreadable"},

	{"a genesis about another key", genesis(func(st *receipt.Statement) { st.Subject.SHA256[0] ^= 1 }), 1, "genesis"},
	{"a genesis that commits to another stream key", genesis(func(st *receipt.Statement) { st.Body.(*receipt.Genesis).StreamKey[0] ^= 1 }), 1, "stream-key"},
	{"a second control stream", liarWith(pack.Options{NoStreamKey: true}, func(l *packtest.Log) {
		l.Spoil = func(st *receipt.Statement) { st.Streams[0].ID[0] ^= 1 }
		l.Freeze()
	}), 1, "stream-id"},
	{"a second control stream, left out", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("hidden")
		l.Decide("a", "s", helm.Allow, nil, nil)
		l.Spoil = func(st *receipt.Statement) { st.Streams[0].ID[0] ^= 1 }
		l.Freeze()
		tb := open(t, l.Pack(receipt.Query{Agent: "a"}, pack.Options{}))
		dropLines("/spec/freeze/v1")(t, tb)
		tb.seal(t, l, nil)
		return tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}
	}, 1, "entry-left-out"},
	{"a policy that is no longer active, of one version", liar(func(l *packtest.Log) {
		l.Activate("x", 2, helm.Enforce)
		l.Activate("y", 2, helm.Enforce)
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Policy.SHA256 = sha256.Sum256([]byte("x")) })
	}), 1, "policy-not-active"},
	{"no policy yet", func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("none")
		l = l.Resign(func(st *receipt.Statement) bool { return st.Body.Kind() != receipt.KindPolicy })
		l.Activate("x", 1, helm.Enforce)
		l.Decide("a", "s", helm.Allow, nil, nil)
		l = l.Resign(func(st *receipt.Statement) bool { return st.Body.Kind() != receipt.KindPolicy })
		return l.Pack(everything, pack.Options{}), verify.Options{Trust: trust(t, l.Trust())}
	}, 1, "policy-none"},
	{"an ALLOW that is enforced in shadow mode", liar(func(l *packtest.Log) {
		l.Activate("shadow", 2, helm.Shadow)
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) { d.Enforced = true })
	}), 1, "not-enforced"},
	{"an outcome about another statement", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		l.Spoil = func(st *receipt.Statement) { st.Subject.Name = receipt.SubjectStatement }
		l.Outcome(a, helm.OutcomeOK, nil)
	}), 1, "subject"},
	{"an outcome without a result", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		digest := l.Statement(a.Index).Leaf(marshal(l.Statement(a.Index))).Statement
		l.Spoil = func(st *receipt.Statement) {
			st.Subject = receipt.Subject{Name: receipt.SubjectStatement, SHA256: digest}
		}
		l.Outcome(a, helm.OutcomeOK, nil)
	}), 0, "outcomes"},
	{"a conflict with what is no outcome", liar(func(l *packtest.Log) {
		a := l.Decide("a", "s", helm.Allow, nil, nil)
		l.Outcome(a, helm.OutcomeOK, nil)
		l.Outcome(a, helm.OutcomeError, func(o *receipt.Outcome) { o.Conflict = &a })
	}), 1, "reference"},
	{"an approval of another id", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, func(a *receipt.Approval) { a.Escalation.ID[0] ^= 1 })
	}), 1, "approval-mismatch"},
	{"an approval that names another session", liarWith(pack.Options{NoStreamKey: true}, func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, func(a *receipt.Approval) { a.Session = "t" })
	}), 1, "approval-mismatch"},
	{"an approval that lasts longer than allowed", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, func(a *receipt.Approval) { a.Expires = a.Expires.Add(time.Second) })
	}), 1, "approval-mismatch"},
	{"an approval after a refusal", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerRefuse, nil)
		l.Answer(e, receipt.AnswerApprove, nil)
	}), 1, "approval-mismatch"},
	{"an ALLOW that names its approval by another id", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Answer(e, receipt.AnswerApprove, nil)
		e.ID[0] ^= 1
		l.Approved(e, nil)
	}), 1, "reference"},
	{"refused by nobody", liar(func(l *packtest.Log) {
		e := l.Decide("a", "s", helm.Escalate, nil, nil)
		l.Approved(e, func(d *receipt.Decision) { d.Verdict, d.Reason.Code = helm.Deny, helm.ApprovalRefused })
	}), 1, "approval-mismatch"},

	// Who signs, and what was asked for.
	{"no trust file", signer(func(l *packtest.Log, o *verify.Options) { o.Trust = nil }), 3, "signer-unknown"},
	{"a trust file of another log", signer(func(l *packtest.Log, o *verify.Options) {
		o.Trust.Logs[0] = verify.TrustedLog{Origin: "other", Key: make([]byte, 32)}
	}), 3, "signer-unknown"},
	{"the key under another name", signer(func(l *packtest.Log, o *verify.Options) { o.Trust.Logs[0].Origin = "other" }), 3, "signer-origin"},
	{"another key for this log", signer(func(l *packtest.Log, o *verify.Options) { o.Trust.Logs[0].Key = make([]byte, 32) }), 1, "signer-other"},
	{"a whole log by another key", func(t *testing.T) ([]byte, verify.Options) {
		genuine, forged := packtest.New("genuine").Demo(), packtest.Empty("forged")
		forged.Origin = genuine.Origin
		pub := forged.Key.Public().(ed25519.PublicKey)
		forged.Append("", "", receipt.Subject{Name: receipt.SubjectKey, SHA256: sha256.Sum256(receipt.PublicPEM(pub))},
			&receipt.Genesis{Key: [32]byte(pub), StreamKey: forged.StreamKey.Hash()}, nil)
		return forged.Pack(everything, pack.Options{}), verify.Options{Trust: trust(t, genuine.Trust())}
	}, 1, "signer-other"},
	{"witnesses asked for", signer(func(l *packtest.Log, o *verify.Options) { o.Trust.Quorum = "w" }), 3, "witnesses"},
	{"another agent expected", expect(receipt.Query{Agent: "agent.a"}, verify.Expectation{Agent: "agent.b"}), 3, "query-narrower"},
	{"the agent expected, a session given", expect(receipt.Query{Agent: "agent.a", Session: "s1"}, verify.Expectation{Agent: "agent.a"}), 3, "query-narrower"},
	{"everything expected, an agent given", expect(receipt.Query{Agent: "agent.a"}, verify.Expectation{}), 3, "query-narrower"},
	{"an earlier beginning expected", expect(receipt.Query{Agent: "agent.a", Since: at(7)}, verify.Expectation{Agent: "agent.a", Since: at(3)}), 3, "query-narrower"},
	{"no end expected", expect(receipt.Query{Agent: "agent.a", Until: at(7)}, verify.Expectation{Agent: "agent.a"}), 3, "query-narrower"},
	{"a session expected, the agent given", expect(receipt.Query{Agent: "agent.a"}, verify.Expectation{Agent: "agent.a", Session: "s1"}), 0, "query-covers"},
	{"an agent expected, everything given", expect(everything, verify.Expectation{Agent: "agent.a", Since: at(7)}), 0, "query-covers"},
}

// at is the time of entry i of a packtest log.
func at(i int) time.Time { return packtest.Empty("").Start.Add(time.Duration(i) * time.Second) }

func dropLines(having string) func(t *testing.T, tb *tarball) {
	return func(t *testing.T, tb *tarball) {
		dropped := 0
		tb.lines(pack.Entries, func(l []string) []string {
			return slices.DeleteFunc(l, func(s string) bool {
				e, err := receipt.ParseEnvelope([]byte(strings.TrimSuffix(s, "\n")))
				must(t, err)
				// Of several, one is left out.
				if dropped == 0 && bytes.Contains(e.Payload, []byte(having)) {
					dropped++
					return true
				}
				return false
			})
		})
	}
}

func signer(edit func(*packtest.Log, *verify.Options)) func(t *testing.T) ([]byte, verify.Options) {
	return func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("signer").Demo()
		o := verify.Options{Trust: trust(t, l.Trust())}
		edit(l, &o)
		return l.Pack(everything, pack.Options{}), o
	}
}

func expect(q receipt.Query, e verify.Expectation) func(t *testing.T) ([]byte, verify.Options) {
	return func(t *testing.T) ([]byte, verify.Options) {
		l := packtest.New("expect").Demo()
		return l.Pack(q, pack.Options{}), verify.Options{Trust: trust(t, l.Trust()), Expect: &e}
	}
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			b, o := a.make(t)
			r, err := verify.Pack(bytes.NewReader(b), int64(len(b)), o)
			must(t, err)
			i := slices.IndexFunc(r.Findings, func(f verify.Finding) bool { return f.Code == a.code })
			if r.Exit != a.exit || i < 0 {
				t.Fatalf("exit %d, want %d with a finding %q:\n%s", r.Exit, a.exit, a.code, print(r))
			}
			if s := r.Findings[i].Status; a.exit == verify.ExitWrong && s != verify.Wrong || a.exit == verify.ExitNotProved && s != verify.NotProved {
				t.Errorf("the finding %q is %s:\n%s", a.code, s, print(r))
			}
			for _, out := range []string{print(r), string(r.JSON())} {
				if j := strings.IndexFunc(out, func(r rune) bool { return (r < 0x20 && r != '\n') || r == 0x7f || r == 0x9b }); j >= 0 {
					t.Errorf("the answer has a control character at byte %d:\n%q", j, out)
				}
			}
		})
	}
}

// TestHistoryRewritten signs a whole new history with the genuine key. Nothing in
// the pack can show it: only what the auditor kept does, and the answer says so.
func TestHistoryRewritten(t *testing.T) {
	l := packtest.New("rewritten").Demo()
	forged := l.Resign(func(st *receipt.Statement) bool {
		if d, ok := st.Body.(*receipt.Decision); ok && d.Agent == "agent.b" {
			d.Tool = "demo.harmless"
		}
		if o, ok := st.Body.(*receipt.Outcome); ok && o.Agent == "agent.b" {
			o.Tool = "demo.harmless"
		}
		return true
	})
	dropped := l.Resign(func(st *receipt.Statement) bool {
		d, ok := st.Body.(*receipt.Decision)
		return !ok || d.Session != "s2"
	})
	stranger, _, err := receipt.ParseCheckpoint(l.Checkpoint(9))
	must(t, err)
	strange, err := receipt.SignCheckpoint(packtest.New("stranger").Key, stranger)
	must(t, err)
	fresh := packtest.New("rewritten") // a new log under the old key and name
	const keptSize = 9
	for _, row := range []struct {
		name string
		log  *packtest.Log
		kept []byte
		q    receipt.Query
		from uint64
		exit int
		code string
	}{
		{"nothing kept", forged, nil, everything, 0, 0, "nothing-kept"},
		{"a session dropped, nothing kept", dropped, nil, everything, 0, 0, "nothing-kept"},
		{"checkpoint kept", forged, []byte(l.Checkpoint(keptSize)), everything, 0, 1, "kept-contradicted"},
		{"a session dropped, checkpoint kept", dropped, []byte(l.Checkpoint(keptSize)), everything, 0, 1, "kept-contradicted"},
		{"asked for with the checkpoint", forged, []byte(l.Checkpoint(keptSize)), receipt.Query{Agent: "agent.a", Session: "s2"}, keptSize, 1, "kept-contradicted"},
		{"not asked for with the checkpoint", forged, []byte(l.Checkpoint(keptSize)), receipt.Query{Agent: "agent.a", Session: "s2", Since: at(15)}, 0, 3, "kept"},
		{"receipt kept", forged, l.Receipt(4, keptSize), everything, 0, 1, "kept-contradicted"},
		{"receipt kept of another session", forged, l.Receipt(3, 4), receipt.Query{Agent: "agent.a"}, 0, 0, "kept"},
		{"a fresh log under the old key", fresh, []byte(l.Checkpoint(keptSize)), everything, 0, 3, "kept-newer"},
		{"another log", packtest.New("other").Demo(), []byte(l.Checkpoint(keptSize)), everything, 0, 1, "kept-other-log"},
		{"a checkpoint that a stranger signed", l, []byte(strange), everything, 0, 3, "kept-signature"},
		{"genuine", l, []byte(l.Checkpoint(keptSize)), everything, 0, 0, "kept"},
		{"genuine, asked for with it", l, []byte(l.Checkpoint(keptSize)), receipt.Query{Agent: "agent.b"}, keptSize, 0, "kept"},
		{"genuine, same size", l, []byte(l.Checkpoint(l.Size())), receipt.Query{Agent: "agent.b"}, 0, 0, "kept"},
		{"genuine, same size, asked for with it", l, []byte(l.Checkpoint(l.Size())), receipt.Query{Agent: "agent.b"}, l.Size(), 0, "kept"},
		{"genuine receipt", l, l.Receipt(4, 7), receipt.Query{Agent: "agent.b", Since: at(12)}, 0, 0, "kept-receipt"},
		{"genuine receipt, older than the window", l, l.Receipt(3, 7), receipt.Query{Agent: "agent.b", Since: at(12)}, 0, 3, "kept"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := row.log.Pack(row.q, pack.Options{ConsistencyFrom: row.from})
			r := check(t, b, verify.Options{Trust: trust(t, row.log.Trust()), SinceCheckpoint: row.kept})
			if r.Exit != row.exit || !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Code == row.code }) {
				t.Errorf("exit %d, want %d with %q:\n%s", r.Exit, row.exit, row.code, print(r))
			}
		})
	}
	if _, err := verify.Pack(bytes.NewReader(l.Pack(everything, pack.Options{})), 0, verify.Options{}); err == nil {
		t.Error("a pack of no bytes was read")
	}
}

// TestSecondChainOutsideTheWindow shows what a pack of one closed session does not
// prove, and says so: a chain that was begun after it. A pack of the whole log does.
func TestSecondChainOutsideTheWindow(t *testing.T) {
	l := packtest.New("outside")
	l.Decide("a", "s", helm.Allow, nil, nil)
	l.Close("a", "s")
	l.Spoil = func(st *receipt.Statement) { st.Streams[1].Seq, st.Streams[1].Prev = 1, receipt.Hash{} }
	l.Decide("a", "s", helm.Allow, nil, nil)
	o := verify.Options{Trust: trust(t, l.Trust())}
	l.Hide(4)
	r := check(t, l.Pack(receipt.Query{Agent: "a", Session: "s"}, pack.Options{}), o)
	if r.Exit != verify.ExitOK || !strings.Contains(print(r), "from entry 4 on was not examined") {
		t.Errorf("the closed session: exit %d\n%s", r.Exit, print(r))
	}
	if exit, codes, text := verdict(t, l.Pack(everything, pack.Options{}), o); exit != verify.ExitWrong || !slices.Contains(codes, "stream-order") {
		t.Errorf("the whole log: exit %d\n%s", exit, text)
	}
}

// TestKeyRotation verifies a log with two keys.
func TestKeyRotation(t *testing.T) {
	l := packtest.New("rotate")
	l.Decide("a", "s", helm.Allow, nil, nil)
	first := l.Trust()
	old := l.Key
	l.Rotate()
	l.Decide("a", "s", helm.Allow, nil, nil)
	b := l.Pack(everything, pack.Options{})
	newest := "log " + receipt.VKey(l.Origin, l.Key.Public().(ed25519.PublicKey)) + "\nquorum none\n"
	for name, text := range map[string]string{"first": first, "newest": newest} {
		if exit, _, out := verdict(t, b, verify.Options{Trust: trust(t, text)}); exit != verify.ExitOK {
			t.Errorf("trusting the %s key: exit %d\n%s", name, exit, out)
		}
	}
	for name, edit := range map[string]func(tb *tarball){
		"an entry by the old key": func(tb *tarball) {
			tb.entry(t, 4, func(e *receipt.Envelope) {
				s, err := receipt.Sign(old, e.Payload)
				must(t, err)
				e.Signatures[0] = s
			})
		},
		"the new key's signature missing": func(tb *tarball) {
			tb.entry(t, 3, func(e *receipt.Envelope) { e.Signatures = e.Signatures[:1] })
		},
		"the two signatures swapped": func(tb *tarball) {
			tb.entry(t, 3, func(e *receipt.Envelope) { slices.Reverse(e.Signatures) })
		},
		"the checkpoint by the old key": func(tb *tarball) {
			c, _, err := receipt.ParseCheckpoint(string(tb.data[pack.Checkpoint]))
			must(t, err)
			s, err := receipt.SignCheckpoint(old, c)
			must(t, err)
			tb.data[pack.Checkpoint] = []byte(s)
		},
	} {
		tb := open(t, b)
		edit(tb)
		tb.seal(t, l, nil)
		if exit, _, out := verdict(t, tb.bytes(t), verify.Options{Trust: trust(t, first)}); exit != verify.ExitWrong {
			t.Errorf("%s: exit %d\n%s", name, exit, out)
		}
	}
}

// TestTarTricks holds the container to the one form that it may have.
func TestTarTricks(t *testing.T) {
	l := packtest.New("tar").Demo()
	good := l.Pack(receipt.Query{Agent: "agent.b"}, pack.Options{})
	header := func(edit func(h *tar.Header)) func() []byte {
		return func() []byte {
			tb := open(t, good)
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for i, n := range tb.names {
				h := &tar.Header{Name: n, Size: int64(len(tb.data[n])), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}
				if i == 0 {
					edit(h)
				}
				must(t, w.WriteHeader(h))
				if h.Size > 0 {
					_, err := w.Write(tb.data[n])
					must(t, err)
				}
			}
			must(t, w.Close())
			return b.Bytes()
		}
	}
	files := func(edit func(tb *tarball)) func() []byte {
		return func() []byte {
			tb := open(t, good)
			edit(tb)
			return tb.bytes(t)
		}
	}
	raw := func(edit func(b []byte) []byte) func() []byte {
		return func() []byte { return edit(bytes.Clone(good)) }
	}
	sum := func(h []byte) { // a right checksum for a changed header
		copy(h[148:], "        ")
		n := 0
		for _, c := range h[:512] {
			n += int(c)
		}
		copy(h[148:], []byte{'0' + byte(n>>15&7), '0' + byte(n>>12&7), '0' + byte(n>>9&7), '0' + byte(n>>6&7), '0' + byte(n>>3&7), '0' + byte(n&7), 0, ' '})
	}
	for name, make := range map[string]func() []byte{
		"empty":        raw(func(b []byte) []byte { return nil }),
		"zero blocks":  raw(func(b []byte) []byte { return b[len(b)-1024:] }),
		"executable":   header(func(h *tar.Header) { h.Mode = 0o755 }),
		"owner":        header(func(h *tar.Header) { h.Uid = 1000 }),
		"owner's name": header(func(h *tar.Header) { h.Uname = "root" }),
		"time":         header(func(h *tar.Header) { h.ModTime = time.Unix(1, 0) }),
		"pax":          header(func(h *tar.Header) { h.Format = tar.FormatPAX; h.PAXRecords = map[string]string{"HELM.x": "y"} }),
		"gnu":          header(func(h *tar.Header) { h.Format = tar.FormatGNU }),
		"symlink":      header(func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc/passwd", 0 }),
		"hard link":    header(func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeLink, "nodes", 0 }),
		"directory":    header(func(h *tar.Header) { h.Typeflag, h.Size = tar.TypeDir, 0 }),
		"traversal":    files(func(tb *tarball) { tb.names[0] = "../checkpoint"; tb.data["../checkpoint"] = tb.data["checkpoint"] }),
		"absolute":     files(func(tb *tarball) { tb.names[0] = "/checkpoint"; tb.data["/checkpoint"] = nil }),
		"dot":          files(func(tb *tarball) { tb.names[0] = "./checkpoint"; tb.data["./checkpoint"] = nil }),
		"unlisted":     files(func(tb *tarball) { tb.names = append(tb.names, "x"); tb.data["x"] = nil }),
		"twice":        files(func(tb *tarball) { tb.names = slices.Insert(tb.names, 1, "checkpoint") }),
		"other order":  files(func(tb *tarball) { tb.names[0], tb.names[1] = tb.names[1], tb.names[0] }),
		"missing":      files(func(tb *tarball) { tb.remove(pack.Nodes) }),
		"policy's name": files(func(tb *tarball) {
			n := strings.ToUpper(tb.names[1])
			tb.data[n] = tb.data[tb.names[1]]
			tb.names[1] = n
		}),
		"ten gigabytes": raw(func(b []byte) []byte { copy(b[124:], "77777777777"); sum(b); return b }),
		"base-256 size": raw(func(b []byte) []byte { b[124] = 0x80; sum(b); return b }),
		"spaced size":   raw(func(b []byte) []byte { copy(b[124:], "       "); sum(b); return b }),
		"old type":      raw(func(b []byte) []byte { b[156] = 0; sum(b); return b }),
		"sparse":        raw(func(b []byte) []byte { b[156] = 'S'; sum(b); return b }),
		"prefix":        raw(func(b []byte) []byte { copy(b[345:], "etc"); sum(b); return b }),
		"name padding":  raw(func(b []byte) []byte { b[50] = 'x'; sum(b); return b }),
		"header's end":  raw(func(b []byte) []byte { b[511] = 1; sum(b); return b }),
		"checksum":      raw(func(b []byte) []byte { copy(b[148:], " "); return b }),
		"one end block": raw(func(b []byte) []byte { return b[:len(b)-512] }),
	} {
		b := make()
		if bytes.Equal(b, good) {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := verify.Pack(bytes.NewReader(b), int64(len(b)), verify.Options{Trust: trust(t, l.Trust())}); err == nil {
			t.Errorf("%s: the pack was read", name)
		}
	}
}

// TestNotCanonical signs, with the genuine key, statements that mean the same in
// another spelling.
func TestNotCanonical(t *testing.T) {
	l := packtest.New("spelling").Demo()
	good := l.Pack(everything, pack.Options{})
	for name, edit := range map[string]func(s string) string{
		"a space":           func(s string) string { return strings.Replace(s, ":", ": ", 1) },
		"an escaped letter": func(s string) string { return strings.Replace(s, `"agent.a"`, `"\u0061gent.a"`, 1) },
		"an escaped slash":  func(s string) string { return strings.Replace(s, `https://`, `https:\/\/`, 1) },
		"a member twice":    func(s string) string { return strings.Replace(s, `"agent":`, `"agent":"agent.a","agent":`, 1) },
		"a member more":     func(s string) string { return strings.Replace(s, `"agent":`, `"x":1,"agent":`, 1) },
		"an exponent":       func(s string) string { return strings.Replace(s, `"index":3`, `"index":3e0`, 1) },
		"a leading zero":    func(s string) string { return strings.Replace(s, `"index":3`, `"index":03`, 1) },
		"a time of day":     func(s string) string { return strings.Replace(s, `.000000Z`, `Z`, 1) },
		"a newline":         func(s string) string { return s + "\n" },
		"upper case hex": func(s string) string {
			i := strings.Index(s, `"sha256":"`)
			return s[:i+10] + strings.ToUpper(s[i+10:i+74]) + s[i+74:]
		},
		"another type":    func(s string) string { return strings.Replace(s, "/spec/decision/v1", "/spec/decision/v2", 1) },
		"an unknown kind": func(s string) string { return strings.Replace(s, "/spec/decision/v1", "/spec/review/v1", 1) },
		"no streams": func(s string) string {
			i := strings.Index(s, `"streams":[`)
			j := strings.Index(s[i:], "]") + i
			return s[:i+11] + s[j:]
		},
		"an invalid UTF-8":    func(s string) string { return strings.Replace(s, "by rule", "by \xffrule", 1) },
		"a control character": func(s string) string { return strings.Replace(s, "by rule", "by \x1brule", 1) },
	} {
		tb := open(t, good)
		tb.entry(t, 3, func(e *receipt.Envelope) {
			changed := edit(string(e.Payload))
			if changed == string(e.Payload) {
				t.Fatalf("%s: nothing was changed", name)
			}
			e.Payload = []byte(changed)
			s, err := receipt.Sign(l.Key, e.Payload)
			must(t, err)
			e.Signatures[0] = s
		})
		tb.seal(t, l, nil)
		if exit, codes, text := verdict(t, tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}); exit != verify.ExitWrong || codes[0] != "entry-unreadable" {
			t.Errorf("%s: exit %d\n%s", name, exit, text)
		}
	}
	for name, edit := range map[string]func(s string) string{
		"base64 without padding": func(s string) string { return strings.Replace(s, "=", "", 1) },
		"base64 with other bits": func(s string) string { i := strings.Index(s, "=="); return s[:i-1] + "R" + s[i:] },
		"a space":                func(s string) string { return strings.Replace(s, ":", ": ", 1) },
		"other order": func(s string) string {
			return strings.Replace(s, `"payloadType":"application/vnd.in-toto+json",`, "", 1)
		},
		"CRLF":            func(s string) string { return strings.Replace(s, "\n", "\r\n", 1) },
		"an empty line":   func(s string) string { return strings.Replace(s, "\n", "\n\n", 1) },
		"no last newline": func(s string) string { return strings.TrimSuffix(s, "\n") },
	} {
		tb := open(t, good)
		changed := edit(string(tb.data[pack.Entries]))
		if changed == string(tb.data[pack.Entries]) {
			t.Fatalf("%s: nothing was changed", name)
		}
		tb.data[pack.Entries] = []byte(changed)
		tb.seal(t, l, nil)
		if exit, _, text := verdict(t, tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}); exit != verify.ExitWrong {
			t.Errorf("%s: exit %d\n%s", name, exit, text)
		}
	}
}

// TestEmptyContainers commits to {} and to [], which differ.
func TestEmptyContainers(t *testing.T) {
	object, err := receipt.Flatten(strictjson.Value{Kind: strictjson.Object})
	must(t, err)
	array, err := receipt.Flatten(strictjson.Value{Kind: strictjson.Array})
	must(t, err)
	var secret receipt.Secret
	if receipt.Commit(&secret, object) == receipt.Commit(&secret, array) {
		t.Error("{} and [] have one commitment")
	}
	d := receipt.Disclose(3, &secret, array)
	if d.Verify(receipt.Commit(&secret, object)) == nil {
		t.Error("[] opens a commitment to {}")
	}
}

// TestReadErrors is what a failing disk makes of a verifier: an error, never an
// answer.
func TestReadErrors(t *testing.T) {
	l := packtest.New("disk").Demo()
	b := l.Pack(everything, pack.Options{})
	for n := 0; ; n++ {
		r := &failing{ReaderAt: bytes.NewReader(b), left: n}
		rep, err := verify.Pack(r, int64(len(b)), verify.Options{Trust: trust(t, l.Trust())})
		if !r.failed {
			if err != nil || rep.Exit != verify.ExitOK {
				t.Errorf("without a failure: %v", err)
			}
			return
		}
		if err == nil && rep.Exit == verify.ExitOK {
			t.Fatalf("read %d failed, and the answer is %d", n, rep.Exit)
		}
	}
}

type failing struct {
	io.ReaderAt
	left   int
	failed bool
}

func (f *failing) ReadAt(b []byte, at int64) (int, error) {
	if f.left--; f.left < 0 {
		f.failed = true
		return 0, errors.New("the disk failed")
	}
	return f.ReaderAt.ReadAt(b, at)
}
