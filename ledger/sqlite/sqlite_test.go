package sqlite

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t testing.TB) func() ledger.Store {
		path := filepath.Join(t.TempDir(), "log.db")
		return func() ledger.Store { return openStore(t, path) }
	})
}

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// set writes one row with a value of a size, and never the same: SQLite does not
// write again what is there.
func set(s *Store, key string, size int) error {
	value := make([]byte, size)
	crand.Read(value)
	return s.Update(context.Background(), func(w ledger.Writer) error {
		return w.Put(ledger.Policies, []byte(key), value)
	})
}

func row(t testing.TB, s *Store, key string) (value []byte) {
	t.Helper()
	err := s.View(t.Context(), func(r ledger.Reader) (err error) {
		value, err = r.Get(ledger.Policies, []byte(key))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// edit runs SQL on a file that no store has open.
func edit(t testing.TB, path string, sql ...string) {
	t.Helper()
	c, err := connect(path, "rwc", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range sql {
		if err := c.exec(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses: what is not ours, or newer, is refused with the reason, and not
// changed.
func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name, want string
		make       func(t *testing.T, path string)
	}{
		{"no SQLite file", "it is no SQLite file at all", func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("helm "), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"another program's file", "it is an SQLite file with the application_id 0x0", func(t *testing.T, path string) {
			edit(t, path, "CREATE TABLE entries (k, v)")
		}},
		{"another program's empty file", "with the application_id 0x7", func(t *testing.T, path string) {
			edit(t, path, "PRAGMA application_id = 7")
		}},
		{"a newer schema", "was written by a newer version", func(t *testing.T, path string) {
			openStore(t, path).Close()
			edit(t, path, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion+1))
		}},
		{"an unknown schema", "schema version 0", func(t *testing.T, path string) {
			openStore(t, path).Close()
			edit(t, path, "PRAGMA user_version = 0")
		}},
		{"a folder", "", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log.db")
			test.make(t, path)
			before, _ := os.ReadFile(path)
			_, err := Open(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want %q and the path", err, test.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere", "log.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestOpenAtOnce: of many that open a new file at once, each gets the same store.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a%20b?c#d.db") // what a URI would take apart
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if err := set(s, fmt.Sprint(i), 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := openStore(t, path)
	for i := range 8 {
		if row(t, s, fmt.Sprint(i)) == nil {
			t.Errorf("the row of %d is lost", i)
		}
	}
	if s.Path() != path {
		t.Errorf("the path is %s", s.Path())
	}
}

// TestSettings: what durability stands on is set on the connection that writes.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s := openStore(t, path)
	c := <-s.writer
	for pragma, want := range map[string]driver.Value{"journal_mode": "wal", "synchronous": int64(2), "wal_autocheckpoint": int64(0), "fullfsync": int64(1)} {
		if row, err := c.row(t.Context(), "PRAGMA "+pragma); err != nil || row[0] != want {
			t.Errorf("%s is %v, %v, not %v", pragma, row, err, want)
		}
	}
	s.writer <- c
	if err := set(s, "k", 1); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if st, err := os.Stat(path + suffix); err != nil || st.Mode() != 0o600 {
			t.Errorf("%s%s: %v, %v", filepath.Base(path), suffix, st.Mode(), err)
		}
	}
}

// TestNoWriteAheadLog: where SQLite cannot keep one it goes on without, and we do not.
func TestNoWriteAheadLog(t *testing.T) {
	c, err := connect(filepath.Join(t.TempDir(), "log.db"), "memory", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.prepareFile(); err == nil || !strings.Contains(err.Error(), "no write-ahead log") {
		t.Fatalf("a database in memory gives %v", err)
	}
}

// TestPlans: no statement reads a table from end to end, or sorts.
func TestPlans(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "log.db"))
	c := <-s.writer
	defer func() { s.writer <- c }()
	for table, kinds := range statements {
		for k, sql := range kinds {
			plan := explain(t, c, sql)
			reads := kind(k) == get || kind(k) == scanFrom || kind(k) == scanRange || kind(k) == remove
			name := ledger.Table(table).String()
			if reads != strings.Contains(plan, "SEARCH "+name) || strings.Contains(plan, "SCAN "+name) || strings.Contains(plan, "TEMP") {
				t.Errorf("%s: %s", sql, plan)
			}
		}
	}
	if plan := explain(t, c, "SELECT v FROM ids WHERE v = x''"); !strings.Contains(plan, "SCAN ids") {
		t.Errorf("a scan is not seen in %q", plan)
	}
}

func explain(t testing.TB, c *conn, sql string) string {
	t.Helper()
	s, err := c.c.Prepare("EXPLAIN QUERY PLAN " + sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer s.Close()
	args := make([]driver.NamedValue, strings.Count(sql, "?"))
	for i := range args {
		args[i] = driver.NamedValue{Ordinal: i + 1}
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(t.Context(), args)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	var plan []string
	row := make([]driver.Value, len(rows.Columns()))
	for rows.Next(row) == nil {
		plan = append(plan, row[3].(string))
	}
	return strings.Join(plan, "; ")
}

// TestFull: a full disk, met by a statement or by the commit, leaves nothing behind
// and is survived.
func TestFull(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "log.db"))
	if err := set(s, "before", 100); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		c := <-s.writer
		defer func() { s.writer <- c }()
		if _, err := c.row(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(60)
	for _, swallow := range []bool{false, true} {
		err := s.Update(t.Context(), func(w ledger.Writer) error {
			for i := range 100 {
				if err := w.Put(ledger.Policies, key8(uint64(i)), make([]byte, 8192)); err != nil {
					return err
				}
				if _, err := w.Get(ledger.Policies, nil); err != nil && !swallow {
					return err
				}
			}
			return nil
		})
		if !errors.Is(err, ledger.ErrAborted) || !errors.Is(err, ledger.ErrFull) {
			t.Fatalf("a full disk gives %v", err)
		}
		if row(t, s, "before") == nil {
			t.Fatal("and it takes something away")
		}
		for i := range uint64(100) { // not even what was put behind an error that nobody heeded
			if row(t, s, string(key8(i))) != nil {
				t.Fatalf("and it leaves row %d behind", i)
			}
		}
		if err := set(s, "small", 10); err != nil { // like a DENY in what the reserve gave back
			t.Fatal(err)
		}
	}
	limit(1 << 30)
	if err := set(s, "large", 1<<20); err != nil {
		t.Fatal(err)
	}
}

// TestUnknown: when a rollback fails, nothing is known, and nothing more is written.
func TestUnknown(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "log.db"))
	boom := errors.New("boom")
	for range 2 {
		err := s.Update(t.Context(), func(w ledger.Writer) error {
			// A statement that fails where ROLLBACK should stand.
			bad, err := w.(*tx).c.c.Prepare("INSERT INTO meta (k, v) VALUES (NULL, x'')")
			if err != nil {
				t.Fatal(err)
			}
			w.(*tx).c.plain["ROLLBACK"] = bad
			return boom
		})
		if err == nil || errors.Is(err, ledger.ErrAborted) || !strings.Contains(err.Error(), "not known") {
			t.Fatalf("a rollback that fails gives %v", err)
		}
	}
}

// TestWait: a wait for another process has a limit.
func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	a, b := openStore(t, path), openStore(t, path)
	b.lockWait = 50 * time.Millisecond
	err := a.Update(t.Context(), func(ledger.Writer) error { return set(b, "k", 1) })
	if !errors.Is(err, ledger.ErrAborted) || code(err) != sqlite3.SQLITE_BUSY {
		t.Fatal(err)
	}
	if err := set(b, "k", 1); err != nil {
		t.Fatal(err)
	}
}

// TestLog: under load without a pause, and Views beside it, the write-ahead log is
// begun anew; while one View lasts it is kept, and it is given back after it.
func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	s := openStore(t, path)
	if err := set(s, "k", 1); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		st, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	load := func(megabytes int) {
		for i := range megabytes * 4 {
			if err := set(s, fmt.Sprint(i%64), 1<<18); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A chain of Views, each of which lasts until the next has read: at every moment
	// one of them keeps the log from beginning anew by itself.
	done := make(chan struct{})
	var wg sync.WaitGroup
	var link func(begun chan struct{})
	link = func(begun chan struct{}) {
		wg.Go(func() {
			err := s.View(context.Background(), func(r ledger.Reader) error {
				_, err := r.Get(ledger.Policies, []byte("k"))
				close(begun)
				select {
				case <-done:
				case <-time.After(2 * time.Millisecond):
					next := make(chan struct{})
					link(next)
					<-next
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	link(make(chan struct{}))
	load(110)
	close(done)
	wg.Wait()
	if n := size(); n > restartAt+32<<20 {
		t.Errorf("the log has %d bytes after 110 MiB", n)
	}
	err := s.View(t.Context(), func(r ledger.Reader) error {
		if _, err := r.Get(ledger.Policies, []byte("k")); err != nil {
			return err
		}
		load(40)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	load(40)
	if n := size(); n > restartAt+64<<20 {
		t.Errorf("the log has %d bytes after a View that lasted", n)
	}
	if row(t, s, "k") == nil {
		t.Error("the first row is lost")
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, filepath.Join(dir, "log.db"))
	for i := range 50 {
		if err := set(s, fmt.Sprint(i), 5000); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "it's a backup.db")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // updates go on
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				if err := set(s, fmt.Sprint("more", i), 5000); err != nil {
					t.Error(err)
				}
			}
		}
	})
	err := s.Backup(t.Context(), path)
	close(done)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Error(st.Mode(), err)
	}
	b := openStore(t, path)
	for i := range 50 {
		if len(row(t, b, fmt.Sprint(i))) != 5000 {
			t.Fatalf("the backup lacks row %d", i)
		}
	}
	if err := s.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a backup over a file that exists: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path = filepath.Join(dir, "canceled.db")
	if err := s.Backup(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a backup that was canceled: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it left a file behind")
	}
}
