package sqlite_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A victim is the log that is attacked: more than two full tiles, with a row in
// every table.
type victim struct {
	home
	backup   string // taken when the log was half as long
	policy   *ledger.Appended
	approved *ledger.Appended // an ESCALATE that was approved and used
	waiting  *ledger.Appended // one that waits
	done     *ledger.Appended // a decision with an outcome
	size     uint64
}

func newVictim(t testing.TB) *victim {
	v := &victim{home: newHome(t)}
	v.backup = filepath.Join(filepath.Dir(v.db), "backup.db")
	v.create(t)
	v.with(t, func(l *ledger.Log, s *sqlite.Store) {
		policy := []byte("[policy]\nid = \"p\"\n")
		sha := sha256.Sum256(policy)
		v.policy = record(t, l, &ledger.Draft{Policy: policy, Subject: receipt.Subject{Name: receipt.SubjectPolicy, SHA256: sha},
			Body: &receipt.Policy{Principal: "operator:o", Mode: helm.Enforce, Policy: receipt.PolicyRef{ID: "p", Version: 1, SHA256: sha, Format: "f", Engine: "e"}}})
		v.approved = record(t, l, decision("s0", "escalated", helm.Escalate))
		record(t, l, about(v.approved, "s0", &receipt.Approval{Agent: "agent", Session: "s0", Escalation: ref(v.approved), Answer: receipt.AnswerApprove,
			Grade: receipt.GradeOperator, Principal: "operator:o", Boundary: "test", Approver: "operator:o", Expires: v.approved.Time.Add(time.Hour)}))
		used := decision("s0", "escalated", helm.Allow)
		r := ref(v.approved)
		used.Body.(*receipt.Decision).Approval = &r
		used.Body.(*receipt.Decision).Budgets = []receipt.Budget{{ID: "paid", Per: receipt.BudgetPerAll, Sum: "amount", Window: 86400, Limit: "100", Amount: "40.5", Used: "40.5"}}
		v.done = record(t, l, used)
		record(t, l, about(v.done, "s0", &receipt.Outcome{Agent: "agent", Session: "s0", Principal: "none", Boundary: "test", Tool: "pay.transfer",
			Decision: ref(v.done), Verdict: helm.Allow, Enforced: true, Status: helm.OutcomeOK}))
		v.waiting = record(t, l, decision("s1", "waiting", helm.Escalate))
		grow(t, l, 300, helm.Deny)
		if err := s.Backup(t.Context(), v.backup); err != nil {
			t.Fatal(err)
		}
		grow(t, l, 600, helm.Deny)
		v.size = l.Size()
	})
	return v
}

// grow records decisions of three sessions until the log has that size.
func grow(t testing.TB, l *ledger.Log, size uint64, verdict helm.Verdict) {
	var wg sync.WaitGroup
	for i := l.Size(); i < size; i++ {
		wg.Go(func() { record(t, l, decision(fmt.Sprint("s", i%3), fmt.Sprint("call", i), verdict)) })
	}
	wg.Wait()
}

// copy is the victim's files in a place of their own.
func (v *victim) copy(t testing.TB) *victim {
	c := *v
	c.home = newHome(t)
	copyFile(t, v.db, c.db)
	copyFile(t, v.highWater, c.highWater)
	return &c
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// exec edits the file with SQL. It must change something.
func (v *victim) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", v.db)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.Exec(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if n, err := r.RowsAffected(); n == 0 || err != nil {
		t.Fatalf("%s: it changed %d rows, %v", query, n, err)
	}
}

// run changes the file's schema.
func (v *victim) run(t testing.TB, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", v.db)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// value is a blob in the file.
func (v *victim) value(t testing.TB, query string, args ...any) (b []byte) {
	t.Helper()
	db, err := sql.Open("sqlite", v.db)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query, args...).Scan(&b); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return b
}

// replace changes a piece of the values of a table.
func (v *victim) replace(t testing.TB, table, from, to string) {
	t.Helper()
	v.exec(t, "UPDATE "+table+" SET v = CAST(replace(CAST(v AS TEXT), ?1, ?2) AS BLOB) WHERE instr(v, CAST(?1 AS BLOB)) > 0", from, to)
}

// head edits the head's row.
func (v *victim) head(t testing.TB, edit func(h map[string]any)) {
	t.Helper()
	var h map[string]any
	d := json.NewDecoder(strings.NewReader(string(v.value(t, "SELECT v FROM head"))))
	d.UseNumber()
	if err := d.Decode(&h); err != nil {
		t.Fatal(err)
	}
	edit(h)
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	v.exec(t, "UPDATE head SET v = ?", b)
}

// forge changes an entry's statement and makes its row consistent, but for the
// signature.
func (v *victim) forge(t testing.TB, index uint64) (leaf ledger.Hash) {
	t.Helper()
	row := v.value(t, "SELECT v FROM entries WHERE k = ?", index)
	at := entryHeader(row)
	statement := strings.Replace(string(row[at:]), `"pay.transfer"`, `"pay.tranzfer"`, 1)
	st, err := receipt.ParseStatement([]byte(statement))
	if err != nil {
		t.Fatal(err)
	}
	leaf = st.Leaf([]byte(statement)).Hash()
	v.exec(t, "UPDATE entries SET v = ? WHERE k = ?", append(append(leaf[:], row[32:at]...), statement...), index)
	return leaf
}

// link changes eight bytes of an entry's links.
func (v *victim) link(t testing.TB, index uint64, at int, to uint64) {
	t.Helper()
	row := v.value(t, "SELECT v FROM entries WHERE k = ?", index)
	binary.BigEndian.PutUint64(row[33+at:], to)
	v.exec(t, "UPDATE entries SET v = ? WHERE k = ?", row, index)
}

// entryHeader is the length of what is before the statement in a row of entries:
// leaf hash, links, key id and signature.
func entryHeader(row []byte) int { return 32 + 1 + 24*int(row[32]) + 1 + 96 }

func key8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// TestAttacks edits the closed database in every way that a reader of SQL thinks
// of. Open refuses each, and says where.
func TestAttacks(t *testing.T) {
	base := newVictim(t)
	if l, _, close, err := base.copy(t).open(t.Context()); err != nil || !l.Audit().Done || l.Size() != base.size {
		t.Fatalf("the log that nobody changed: %v", err)
	} else if err := close(); err != nil {
		t.Fatal(err)
	}
	last := base.size - 1
	for _, test := range []struct {
		name, want string
		attack     func(t *testing.T, v *victim)
	}{
		{"last entry deleted", fmt.Sprintf("entry %d", last), func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM entries WHERE k = ?", last)
		}},
		{"middle entry deleted", "entry 100 is missing", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM entries WHERE k = 100")
		}},
		{"entry changed, hash recomputed", "entry 100: its signature does not verify", func(t *testing.T, v *victim) {
			v.forge(t, 100)
		}},
		{"entry changed, hash and tiles recomputed", "entry 100: its signature does not verify", func(t *testing.T, v *victim) {
			leaf := v.forge(t, 100)
			tile := v.value(t, "SELECT v FROM tiles WHERE k = ?", make([]byte, 9))
			copy(tile[100*32:], leaf[:])
			v.exec(t, "UPDATE tiles SET v = ? WHERE k = ?", tile, make([]byte, 9))
			ids := v.value(t, "SELECT v FROM ids")
			at := bytes.Index(ids, []byte{0, 0, 0, 100})
			copy(ids[at-8:at], leaf[:])
			v.exec(t, "UPDATE ids SET v = ?", ids)
			hashes := make([]ledger.Hash, 256)
			for i := range hashes {
				copy(hashes[i][:], tile[i*32:])
			}
			top := v.value(t, "SELECT v FROM tiles WHERE k = ?", append([]byte{1}, key8(0)...))
			root := treeRoot(hashes)
			v.exec(t, "UPDATE tiles SET v = ? WHERE k = ?", append(root[:], top[32:]...), append([]byte{1}, key8(0)...))
		}},
		{"entries swapped", "entry 100: its statement is of entry 101", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE entries SET k = -1 WHERE k = 100")
			v.exec(t, "UPDATE entries SET k = 100 WHERE k = 101")
			v.exec(t, "UPDATE entries SET k = 101 WHERE k = -1")
		}},
		{"entry added behind the head", fmt.Sprintf("the store has an entry %d", last+1), func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO entries SELECT k + 1, v FROM entries WHERE k = ?", last)
		}},
		{"session dropped", "is missing in the store", func(t *testing.T, v *victim) {
			const ofSession = ` FROM entries WHERE instr(v, CAST('"session":"s1"' AS BLOB))`
			// Its row begins with the stream's number, higher than that of its agent's stream.
			v.exec(t, "DELETE FROM streams WHERE v = (SELECT max(v) FROM streams WHERE hex(substr(v, 49, 8)) = (SELECT printf('%016X', max(k))"+ofSession+"))")
			v.exec(t, "DELETE"+ofSession)
			v.exec(t, "DELETE FROM payloads WHERE k NOT IN (SELECT k FROM entries)")
		}},
		{"all entries deleted", "entry 0 is missing in the store", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM entries")
		}},
		{"everything deleted", "the store holds no log", func(t *testing.T, v *victim) {
			for table := range ledger.Table(ledger.Tables) {
				v.exec(t, "DELETE FROM "+table.String())
			}
		}},
		{"database deleted", "the store holds no log", func(t *testing.T, v *victim) {
			if err := os.Remove(v.db); err != nil {
				t.Fatal(err)
			}
		}},
		{"rolled back to a backup", "the log was rolled back: it has 300 entries", func(t *testing.T, v *victim) {
			copyFile(t, v.backup, v.db)
		}},
		{"rolled back and continued with the genuine key", "the log was rewritten: at size 600", func(t *testing.T, v *victim) {
			h := newHome(t)
			copyFile(t, v.backup, h.db)
			old := *v
			old.home = h
			h.rememberHead(t, &old)
			h.with(t, func(l *ledger.Log, _ *sqlite.Store) { grow(t, l, 610, helm.Allow) })
			copyFile(t, h.db, v.db)
		}},
		{"high-water file deleted", "is missing", func(t *testing.T, v *victim) {
			if err := os.Remove(v.highWater); err != nil {
				t.Fatal(err)
			}
		}},
		{"second checkpoint at one size", "its signed checkpoint of size 600 says", func(t *testing.T, v *victim) {
			other := ledger.Hash{1, 2, 3}
			signed, err := receipt.SignCheckpoint(signer, receipt.Checkpoint{Origin: origin, Size: v.size, Root: other})
			if err != nil {
				t.Fatal(err)
			}
			v.head(t, func(h map[string]any) { h["root"], h["checkpoint"] = fmt.Sprintf("%x", other), signed })
		}},
		{"root changed", "the log's head says 600 entries and root", func(t *testing.T, v *victim) {
			v.head(t, func(h map[string]any) { h["root"] = strings.Repeat("00", 32) })
		}},
		{"checkpoint of a smaller log", "the log's head says", func(t *testing.T, v *victim) {
			signed, err := receipt.SignCheckpoint(signer, receipt.Checkpoint{Origin: origin, Size: 300, Root: ledger.Hash{1}})
			if err != nil {
				t.Fatal(err)
			}
			v.head(t, func(h map[string]any) { h["checkpoint"] = signed })
		}},
		{"head deleted", "the log's head is missing", func(t *testing.T, v *victim) { v.exec(t, "DELETE FROM head") }},
		{"counter changed", "the entries lead to", func(t *testing.T, v *victim) {
			v.head(t, func(h map[string]any) { h["denied"] = 0 })
		}},
		{"freeze forged", "the entries lead to", func(t *testing.T, v *victim) {
			v.head(t, func(h map[string]any) { h["frozen"] = 3 })
		}},
		{"active policy changed", "the entries lead to", func(t *testing.T, v *victim) {
			v.head(t, func(h map[string]any) { h["policy"] = strings.Repeat("ab", 32) })
		}},
		{"control head changed", "the entries lead to", func(t *testing.T, v *victim) {
			v.head(t, func(h map[string]any) { h["control_seq"] = 7 })
		}},
		{"approval made usable again", "table approvals", func(t *testing.T, v *victim) {
			v.replace(t, "approvals", `"state":"used"`, `"state":"approved"`)
		}},
		{"approval granted", "table approvals", func(t *testing.T, v *victim) {
			v.replace(t, "approvals", `"state":"pending"`, `"state":"approved"`)
		}},
		{"approval deleted", "table approvals", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM approvals WHERE k = ?", key8(v.waiting.Index))
		}},
		{"open approval deleted", "table open_approvals", func(t *testing.T, v *victim) { v.exec(t, "DELETE FROM open_approvals") }},
		{"open session deleted", "table open_sessions", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM open_sessions WHERE k = (SELECT max(k) FROM open_sessions)")
		}},
		{"stream head changed", "table streams", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE streams SET v = CAST(substr(v, 1, 8) || x'0000000000000001' || substr(v, 17) AS BLOB) WHERE substr(v, 9, 8) > x'0000000000000010'")
		}},
		{"link of a stream changed", "entry 200: its links are", func(t *testing.T, v *victim) {
			v.link(t, 200, 0, 198)
		}},
		{"jump of a stream changed", "entry 200: its links are", func(t *testing.T, v *victim) {
			v.link(t, 200, 8, 3)
		}},
		{"link of a session changed", "entry 200: its links are", func(t *testing.T, v *victim) {
			v.link(t, 200, 24, 2)
		}},
		{"id hidden", "table ids", func(t *testing.T, v *victim) {
			ids := v.value(t, "SELECT v FROM ids")
			v.exec(t, "UPDATE ids SET v = ?", append(ids[:12*122:12*122], ids[12*123:]...))
		}},
		{"ids deleted", "table ids", func(t *testing.T, v *victim) { v.exec(t, "DELETE FROM ids WHERE substr(k, 9, 1) = x'01'") }},
		{"ids added", "table ids", func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO ids SELECT CAST(x'01' || substr(k, 2) AS BLOB), v FROM ids")
		}},
		{"budget given back", "table budgets: the row", func(t *testing.T, v *victim) { v.exec(t, "DELETE FROM budgets") }},
		{"budget lowered", "table budgets: the row", func(t *testing.T, v *victim) { v.replace(t, "budgets", "40.5", "4.5") }},
		{"budget forgotten earlier", "table budgets: the row", func(t *testing.T, v *victim) { v.replace(t, "budgets", `"n":`, `"n":1`) }},
		{"budget of another added", "table budgets: the row", func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO budgets SELECT CAST('x' AS BLOB), v FROM budgets")
		}},
		{"outcome deleted", "its row in table outcomes is missing", func(t *testing.T, v *victim) { v.exec(t, "DELETE FROM outcomes") }},
		{"outcome moved", "its row in table outcomes", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE outcomes SET k = ?", key8(v.waiting.Index))
		}},
		{"outcome invented", "table outcomes", func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO outcomes VALUES (?, ?)", key8(v.waiting.Index), key8(299))
		}},
		{"call_id forgotten", "its row in table calls is missing", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM calls WHERE v = ?", key8(250))
		}},
		{"call_id redirected", "table calls", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE calls SET v = ? WHERE v = ?", key8(last), key8(250))
		}},
		{"call_id invented", "table calls", func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO calls SELECT CAST(k || 'x' AS BLOB), v FROM calls WHERE v = ?", key8(250))
		}},
		{"full tile changed", "tile 0 at level 0 differs from the entries from index 5 on", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE tiles SET v = CAST(substr(v, 1, 165) || x'00' || substr(v, 167) AS BLOB) WHERE k = ?", make([]byte, 9))
		}},
		{"full tile deleted", "tile 0 at level 0", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM tiles WHERE k = ?", make([]byte, 9))
		}},
		{"upper tile changed", "tile 0 at level 1 differs from the entries from index 0 on", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE tiles SET v = CAST(zeroblob(32) || substr(v, 33) AS BLOB) WHERE substr(k, 1, 1) = x'01'")
		}},
		{"upper tile deleted", "tile 0 at level 1", func(t *testing.T, v *victim) { v.exec(t, "DELETE FROM tiles WHERE substr(k, 1, 1) = x'01'") }},
		{"tile added", "table tiles", func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO tiles SELECT x'000000000000000009', v FROM tiles LIMIT 1")
		}},
		{"policy bytes changed", fmt.Sprintf("entry %d: the stored policy", base.policy.Index), func(t *testing.T, v *victim) {
			v.replace(t, "policies", `"p"`, `"q"`)
		}},
		{"policy deleted", fmt.Sprintf("entry %d: policy", base.policy.Index), func(t *testing.T, v *victim) { v.exec(t, "DELETE FROM policies") }},
		{"payload changed", "its stored payload is not what it commits to", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE payloads SET v = CAST(substr(v, 1, 32) || replace(CAST(substr(v, 33) AS TEXT), '993', '992') AS BLOB) WHERE k = 150")
		}},
		{"payload's secret changed", "entry 150: its stored payload", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE payloads SET v = CAST(zeroblob(32) || substr(v, 33) AS BLOB) WHERE k = 150")
		}},
		{"payload moved", "entry 150: its stored payload", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE payloads SET v = (SELECT v FROM payloads WHERE k = 151) WHERE k = 150")
		}},
		{"payload invented", "its stored payload is not what it commits to", func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO payloads SELECT 1, v FROM payloads WHERE k = 150")
		}},
		{"stream key changed", "stream key", func(t *testing.T, v *victim) {
			v.exec(t, `UPDATE meta SET v = CAST(json_set(CAST(v AS TEXT), '$.stream_key', ?) AS BLOB)`, strings.Repeat("00", 32))
		}},
		{"origin changed", "verify checkpoint: its origin is", func(t *testing.T, v *victim) {
			v.exec(t, `UPDATE meta SET v = CAST(json_set(CAST(v AS TEXT), '$.origin', ?) AS BLOB)`, "helm.test/other")
		}},
		{"values of another type", "damaged", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE head SET v = 'text'")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := base.copy(t)
			test.attack(t, v)
			_, _, close, err := v.open(t.Context())
			if err == nil {
				close()
				t.Fatal("it was not noticed")
			}
			t.Log(err)
			if !strings.Contains(err.Error(), test.want) {
				t.Fatalf("the refusal does not say %q", test.want)
			}
		})
	}
}

// rememberHead writes the high-water file that belongs to a database.
func (h home) rememberHead(t testing.TB, v *victim) {
	t.Helper()
	var head struct{ Checkpoint string }
	if err := json.Unmarshal(v.value(t, "SELECT v FROM head"), &head); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.highWater, []byte(head.Checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
}

// treeRoot is the root of a power of two of leaf hashes (RFC 6962, section 2.1).
func treeRoot(hashes []ledger.Hash) ledger.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	l, r := treeRoot(hashes[:len(hashes)/2]), treeRoot(hashes[len(hashes)/2:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}
