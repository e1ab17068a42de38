package cli_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A victim is a home with a log that was written through the command line, and a
// pack of it. It is attacked while no server runs.
type victim struct {
	bin, home, policy string
	older             string // the home as it was half-way
	pack              string // of everything
	kept              string // a receipt that a client keeps
	session           []int  // entries of b's only session: an ALLOW, its outcome, a DENY
	half, last        int    // the older log's number of entries, the newer log's last entry
}

const victimPolicy = `[policy]
id = "victim"
version = 1
format = "helm.policy/v1"
mode = "enforce"

[[rule]]
id = "work"
verdict = "ALLOW"
tools = ["t.work"]

[[rule]]
id = "ask"
verdict = "ESCALATE"
reason = "ASK_FIRST"
tools = ["t.ask"]

[[tool]]
name = "t.work"
args = { n = "int" }

[[tool]]
name = "t.ask"
args = { n = "int" }
`

// helm runs one of the two programs, and returns its exit code and all that it printed.
func (v *victim) helm(t *testing.T, program string, args ...string) (int, string) {
	t.Helper()
	// A serve that does not refuse would run for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(v.bin, program), args...)
	cmd.Env = append(os.Environ(), "HELM_HOME="+v.home)
	out, err := cmd.CombinedOutput()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (v *victim) must(t *testing.T, args ...string) string {
	t.Helper()
	code, out := v.helm(t, "helm-ai-kernel", args...)
	if code != 0 {
		t.Fatalf("%v: exit %d: %s", args, code, out)
	}
	return out
}

// newVictim records 42 calls of two agents, of which two were escalated: one was
// approved and carried out, one waits.
func newVictim(t *testing.T) *victim {
	dir := t.TempDir()
	v := &victim{bin: buildAll(t), home: filepath.Join(dir, "home"), policy: filepath.Join(dir, "policy.toml"), older: filepath.Join(dir, "older"),
		pack: filepath.Join(dir, "pack.tar"), kept: filepath.Join(dir, "kept.json")}
	if err := os.WriteFile(v.policy, []byte(victimPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	decide := func(d *daemon, calls ...string) {
		t.Helper()
		file := filepath.Join(dir, "calls.ndjson")
		if err := os.WriteFile(file, []byte(strings.Join(calls, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		v.must(t, "decide", "--file", file, "--home", v.home, "--server", d.address)
	}
	ask := func(n int) string {
		return fmt.Sprintf(`{"agent":"a","session":"s1","tool":"t.ask","arguments":{"n":%d}}`, n)
	}
	calls := []string{ask(1), ask(2)}
	for n := range 38 {
		call := fmt.Sprintf(`{"agent":"a","session":"s%d","tool":"t.work","arguments":{"n":%d}`, n%2, n)
		if n%3 == 0 {
			call += fmt.Sprintf(`,"result":{"n":%d}`, n*n)
		}
		calls = append(calls, call+"}")
	}
	d := launch(t, v.bin, v.home, "--policy", v.policy)
	decide(d, calls[:20]...)
	var open struct{ Approvals []struct{ ID string } }
	if err := json.Unmarshal([]byte(v.must(t, "approvals", "list", "--json", "--home", v.home, "--server", d.address)), &open); err != nil || len(open.Approvals) != 2 {
		t.Fatalf("approvals: %+v, %v", open, err)
	}
	v.must(t, "approvals", "approve", open.Approvals[0].ID, "--home", v.home, "--server", d.address)
	d.stop()
	copyHome(t, v.home, v.older)
	v.value(t, "SELECT count(*) FROM entries", &v.half)

	d = launch(t, v.bin, v.home, "--policy", v.policy)
	decide(d, append(calls[20:], ask(1), ask(2), `{"agent":"b","session":"only","tool":"t.work","arguments":{"n":40},"result":{}}`,
		`{"agent":"b","session":"only","tool":"t.none","arguments":{"n":41}}`)...)
	list := v.must(t, "receipts", "list", "--agent", "b", "--json", "--home", v.home, "--server", d.address)
	for line := range strings.Lines(list) {
		var r struct{ Index int }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		v.session = append(v.session, r.Index)
	}
	v.must(t, "receipts", "show", fmt.Sprint(v.session[0]), "-o", v.kept, "--home", v.home, "--server", d.address)
	v.must(t, "evidence", "export", "--all", "-o", v.pack, "--home", v.home, "--server", d.address)
	d.stop()
	v.value(t, "SELECT max(k) FROM entries", &v.last)
	if len(v.session) != 3 {
		t.Fatalf("b has the entries %v", v.session)
	}
	return v
}

func copyHome(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// CopyFS makes what the umask leaves, and secrets that others can read are refused.
	for _, secret := range []string{"key.pem", "operator.token"} {
		if err := os.Chmod(filepath.Join(to, secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// exec edits the closed database. It must change something.
func (v *victim) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(v.home, "log.db"))
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

// replace changes a piece of one value.
func (v *victim) replace(t *testing.T, table, where, from, to string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(v.home, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b []byte
	if err := db.QueryRow("SELECT v FROM "+table+" WHERE "+where+" AND instr(v, CAST(? AS BLOB)) > 0", from).Scan(&b); err != nil {
		t.Fatalf("%s: %v", table, err)
	}
	v.exec(t, "UPDATE "+table+" SET v = ? WHERE v = ?", bytes.Replace(b, []byte(from), []byte(to), 1), b)
}

// edit changes a file of the home.
func (v *victim) edit(t *testing.T, name string, edit func([]byte) []byte) {
	t.Helper()
	file := filepath.Join(v.home, name)
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, edit(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAttacks attacks what is at rest: the log while no server runs, and the pack
// while it is on its way.
func TestAttacks(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it builds both programs and runs them some hundred times")
	}
	v := newVictim(t)
	t.Run("log", v.attackLog)
	t.Run("history", v.attackHistory)
	t.Run("pack", v.attackPack)
}

// attackLog edits the closed log in the ways that its owner's enemy would. Whatever
// was done, serve does not begin to answer, and says what is wrong and where.
func (v *victim) attackLog(t *testing.T) {
	for _, test := range []struct {
		name, want string
		attack     func(t *testing.T, v *victim)
	}{
		{"last entry deleted", fmt.Sprintf("entry %d is missing", v.last), func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM entries WHERE k = ?", v.last)
		}},
		{"middle entry deleted", "entry 20 is missing", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM entries WHERE k = 20")
		}},
		{"all entries deleted", "entry 0 is missing in the store", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM entries")
		}},
		{"statement changed", "entry 20: its signature does not verify", func(t *testing.T, v *victim) {
			v.replace(t, "entries", "k = 20", `"t.work"`, `"t.walk"`)
		}},
		{"verdict changed", fmt.Sprintf("entry %d", v.session[2]), func(t *testing.T, v *victim) {
			v.replace(t, "entries", fmt.Sprint("k = ", v.session[2]), `"DENY"`, `"ALLOW"`)
		}},
		{"two entries swapped", "its statement is of entry ", func(t *testing.T, v *victim) {
			v.exec(t, "UPDATE entries SET k = -1 WHERE k = 20")
			v.exec(t, "UPDATE entries SET k = 20 WHERE k = 21")
			v.exec(t, "UPDATE entries SET k = 21 WHERE k = -1")
		}},
		{"entry added", fmt.Sprintf("the store has an entry %d", v.last+1), func(t *testing.T, v *victim) {
			v.exec(t, "INSERT INTO entries SELECT k + 1, v FROM entries ORDER BY k DESC LIMIT 1")
		}},
		{"session dropped", fmt.Sprintf("entry %d is missing", v.session[0]), func(t *testing.T, v *victim) {
			for _, n := range v.session {
				v.exec(t, "DELETE FROM entries WHERE k = ?", n)
			}
		}},
		{"rolled back to an older copy", fmt.Sprintf("entries from index %d on are missing", v.half), func(t *testing.T, v *victim) {
			v.putBack(t, "log.db")
		}},
		{"high-water file deleted", "high-water", func(t *testing.T, v *victim) {
			if err := os.Remove(filepath.Join(v.home, "high-water")); err != nil {
				t.Fatal(err)
			}
		}},
		{"high-water file changed", "high-water", func(t *testing.T, v *victim) {
			v.edit(t, "high-water", func(b []byte) []byte { b[len(b)-10] ^= 1; return b })
		}},
		{"high-water file emptied", "high-water", func(t *testing.T, v *victim) {
			v.edit(t, "high-water", func([]byte) []byte { return nil })
		}},
		{"approval usable again", "table approvals", func(t *testing.T, v *victim) {
			v.replace(t, "approvals", "1", `"state":"used"`, `"state":"approved"`)
		}},
		{"approval granted", "table approvals", func(t *testing.T, v *victim) {
			v.replace(t, "approvals", "1", `"state":"pending"`, `"state":"approved"`)
		}},
		{"counter of the head changed", "the entries lead to", func(t *testing.T, v *victim) {
			v.exec(t, `UPDATE head SET v = CAST(json_set(CAST(v AS TEXT), '$.denied', 0) AS BLOB)`)
		}},
		{"root of the head changed", "the log's head says", func(t *testing.T, v *victim) {
			v.exec(t, `UPDATE head SET v = CAST(json_set(CAST(v AS TEXT), '$.root', ?) AS BLOB)`, strings.Repeat("00", 32))
		}},
		{"checkpoint by another key", "the log's head: verify checkpoint", func(t *testing.T, v *victim) {
			var old string
			v.value(t, `SELECT json_extract(CAST(v AS TEXT), '$.checkpoint') FROM head`, &old)
			v.exec(t, `UPDATE head SET v = CAST(json_set(CAST(v AS TEXT), '$.checkpoint', ?) AS BLOB)`, signAgain(t, old))
		}},
		{"policy's bytes changed", "entry 1: the stored policy", func(t *testing.T, v *victim) {
			v.replace(t, "policies", "1", `verdict = "ESCALATE"`, `verdict = "ALLOW"`)
		}},
		{"payload changed", "entry 20: its stored payload", func(t *testing.T, v *victim) {
			v.replace(t, "payloads", "k = 20", `n`, `m`)
		}},
		{"outcome deleted", "its row in table outcomes", func(t *testing.T, v *victim) {
			v.exec(t, "DELETE FROM outcomes WHERE k = (SELECT max(k) FROM outcomes)")
		}},
		{"database cut off", "log.db", func(t *testing.T, v *victim) {
			v.edit(t, "log.db", func(b []byte) []byte { return b[:len(b)/2/4096*4096] })
		}},
		{"database overwritten", "log.db: the file is not a helm-ai-kernel store", func(t *testing.T, v *victim) {
			v.edit(t, "log.db", func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) })
		}},
		{"database emptied", "the store holds no log", func(t *testing.T, v *victim) {
			v.edit(t, "log.db", func([]byte) []byte { return nil })
		}},
		{"database deleted", "log.db is missing", func(t *testing.T, v *victim) {
			if err := os.Remove(filepath.Join(v.home, "log.db")); err != nil {
				t.Fatal(err)
			}
		}},
		{"key of another log", "the log's key is", func(t *testing.T, v *victim) {
			v.edit(t, "key.pem", func([]byte) []byte { return otherKeyPEM(t) })
		}},
		{"key deleted", "key.pem is missing", func(t *testing.T, v *victim) {
			if err := os.Remove(filepath.Join(v.home, "key.pem")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := *v
			c.home = filepath.Join(t.TempDir(), "home")
			copyHome(t, v.home, c.home)
			test.attack(t, &c)
			high, _ := os.ReadFile(filepath.Join(c.home, "high-water"))
			for _, args := range [][]string{{"serve", "--policy", v.policy, "--listen", "127.0.0.1:0"}, {"log", "check"}} {
				code, out := c.helm(t, "helm-ai-kernel", append(args, "--home", c.home)...)
				t.Log(out)
				if code != 1 || !strings.Contains(out, test.want) || strings.Contains(out, "listening") {
					t.Errorf("%s: exit %d, and it must be 1 and say %q", args[0], code, test.want)
				}
			}
			if now, _ := os.ReadFile(filepath.Join(c.home, "high-water")); !bytes.Equal(now, high) {
				t.Error("the refusal changed the high-water file")
			}
		})
	}
}

// attackHistory puts a whole older home back, high-water file and all. Nothing in the
// home can tell, and serve goes on from there: only what somebody kept outside shows
// that a second history was signed.
func (v *victim) attackHistory(t *testing.T) {
	c := *v
	c.home = filepath.Join(t.TempDir(), "home")
	copyHome(t, v.older, c.home)
	d := launch(t, c.bin, c.home, "--policy", c.policy)
	export := []string{"evidence", "export", "--all", "-o", filepath.Join(t.TempDir(), "again.tar"), "--home", c.home, "--server", d.address}
	verify := []string{"verify", "--since-checkpoint", c.kept, export[4]}

	c.must(t, export...)
	if code, out := c.helm(t, "helm-ai-kernel", verify...); code != 3 || !strings.Contains(out, "[kept-newer]") {
		t.Errorf("a log that is shorter than a kept receipt: exit %d: %s", code, out)
	}
	if code, out := c.helm(t, "helm-ai-kernel", append(export, "--since-checkpoint", c.kept)...); code != 1 || !strings.Contains(out, "or it was rolled back") {
		t.Errorf("export from a size that the log does not have: exit %d: %s", code, out)
	}
	for n := range v.last + 5 - c.half {
		if _, err := d.decide("a", "s0", n); err != nil {
			t.Fatal(err)
		}
	}
	c.must(t, append(export, "--since-checkpoint", c.kept)...)
	for _, program := range []string{"helm-ai-kernel", "helm-verify"} {
		args := verify
		if program == "helm-verify" {
			args = append([]string{"--trust", filepath.Join(c.home, "trust.policy")}, verify[1:]...)
		}
		if code, out := c.helm(t, program, args...); code != 1 || !strings.Contains(out, "[kept-contradicted]") {
			t.Errorf("%s: exit %d: %s", program, code, out)
		}
	}
}

// putBack puts a file of the older copy in place of the newer.
func (v *victim) putBack(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(v.older, name))
	if err != nil {
		t.Fatal(err)
	}
	v.edit(t, name, func([]byte) []byte { return b })
}

// value reads one value of the closed database.
func (v *victim) value(t *testing.T, query string, into any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(v.home, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(into); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// otherKey is nobody's.
var otherKey = ed25519.NewKeyFromSeed(make([]byte, 32))

func otherKeyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// signAgain is the same checkpoint, signed under the same name by another key.
func signAgain(t *testing.T, signed string) string {
	t.Helper()
	c, _, err := receipt.ParseCheckpoint(signed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := receipt.SignCheckpoint(otherKey, c)
	if err != nil {
		t.Fatal(err)
	}
	return again
}
