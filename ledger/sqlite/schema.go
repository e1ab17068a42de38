package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"modernc.org/sqlite"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// A file of ours says so in SQLite's header: file(1) shows both numbers.
const (
	applicationID = 0x68656c6d // "helm"
	schemaVersion = 1
)

// Settings of connections. What SQLite keeps to undo a statement that puts many rows
// would else be written to the system's folder for temporary files: half as much again as to
// the write-ahead log, and rows are nobody else's. Full syncs are what macOS needs for a
// commit to survive the loss of power; elsewhere they change nothing.
var (
	readerPragmas = []string{"busy_timeout = 10000", "cache_size = -8192"}
	writerPragmas = []string{"temp_store = MEMORY", "synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON", "wal_autocheckpoint = 0",
		fmt.Sprintf("journal_size_limit = %d", restartAt), "cache_size = -65536", "busy_timeout = 0"}
)

// Open opens the store in a file, which it makes, for its owner alone, where there
// is none. It refuses a file that is not such a store, and one with a schema that
// is newer than this version knows.
func Open(path string) (*Store, error) {
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

// InUse reports whether a process, also this one, has the database open: only
// then does SQLite hold on to its write-ahead log. One that it cannot read is not.
func InUse(path string) bool {
	c, err := connect(path, "rw", []string{"busy_timeout = 100"})
	if err != nil {
		return code(err) == sqlite3.SQLITE_BUSY
	}
	defer c.close()
	_, err = c.row(context.Background(), "PRAGMA journal_mode = DELETE")
	return code(err) == sqlite3.SQLITE_BUSY
}

func open(path string) (_ *Store, err error) {
	defer func() {
		if c := code(err); c == sqlite3.SQLITE_READONLY || c == sqlite3.SQLITE_CANTOPEN {
			err = fmt.Errorf("%w: the log is written by whoever opens it, and this user may not write the file, those beside it with its name, or their folder", err)
		}
	}()
	// fdatasync is all that a commit needs, and half of what fsync costs. Where the
	// system has none, SQLite goes on with what it has.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	c, err := connect(path, "rw", []string{"busy_timeout = 10000"})
	if err != nil {
		return nil, err
	}
	// busy_timeout does not hold for the change to a write-ahead log.
	for limit := time.Now().Add(lockWait); ; time.Sleep(time.Millisecond) {
		if err = c.prepareFile(); code(err) != sqlite3.SQLITE_BUSY || time.Now().After(limit) {
			break
		}
	}
	if err != nil {
		c.close()
		if code(err) == sqlite3.SQLITE_NOTADB {
			err = errors.New("the file is not a helm-ai-kernel store: it is no SQLite file at all")
		}
		return nil, err
	}
	s := &Store{path: path, lockWait: lockWait, writer: make(chan *conn, 1)}
	for _, p := range writerPragmas {
		if _, err := c.row(context.Background(), "PRAGMA "+p); err != nil {
			c.close()
			return nil, fmt.Errorf("PRAGMA %s: %w", p, err)
		}
	}
	if err := s.remember(c); err != nil {
		c.close()
		return nil, err
	}
	s.writer <- c
	if err := s.startCheckpoints(); err != nil {
		c.close()
		return nil, err
	}
	return s, nil
}

// create makes an empty file of mode 0600 where there is none, durably. SQLite
// gives its other files the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(path)
}

// syncDir makes the directory entry of a file durable, where the system can.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // Windows has no such thing
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// prepareFile checks whose file it is before it changes anything in it, and makes
// the tables in an empty one.
func (c *conn) prepareFile() error {
	// In a transaction: the answers are of one state, though another process may be
	// making the tables.
	if err := c.exec("BEGIN"); err != nil {
		return err
	}
	made, err := c.checkFile()
	if err := errors.Join(err, c.exec("ROLLBACK")); err != nil {
		return err
	}
	mode, err := c.row(context.Background(), "PRAGMA journal_mode = WAL")
	if err != nil {
		return err
	}
	if mode[0] != "wal" { // SQLite says so, and goes on without
		return fmt.Errorf("no write-ahead log can be kept beside it, only %v: it must be on a local disk", mode[0])
	}
	if made {
		return nil
	}
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	made, err = c.checkFile() // another process may have been faster
	if err == nil && !made {
		err = c.makeTables()
	}
	if err != nil {
		return errors.Join(err, c.exec("ROLLBACK"))
	}
	return c.exec("COMMIT")
}

// checkFile reports whether the tables are there. It refuses a file that is
// neither empty nor ours.
func (c *conn) checkFile() (made bool, err error) {
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return false, err
	}
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return false, err
	}
	things, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return false, err
	}
	switch {
	case id == 0 && version == 0 && things == 0:
		return false, nil
	case id != applicationID:
		return false, fmt.Errorf("the file is not a helm-ai-kernel store: it is an SQLite file with the application_id %#x", id)
	case version > schemaVersion:
		return false, fmt.Errorf("the store has schema version %d, and this program knows %d: it was written by a newer version of helm-ai-kernel, use that one",
			version, schemaVersion)
	case version < schemaVersion:
		return false, fmt.Errorf("the store has schema version %d, which no version of helm-ai-kernel writes", version)
	}
	return true, c.checkTables()
}

// checkTables refuses a file in which there is anything but the tables: a trigger
// would run with every row that is written, and no audit of rows would show it.
func (c *conn) checkTables() error {
	var names []string
	for t := range ledger.Table(ledger.Tables) {
		row, err := c.row(context.Background(), "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", t.String())
		if err != nil {
			return err
		}
		if row == nil || row[0] != createTable(t) {
			return fmt.Errorf("the store's table %s is missing, or is not as helm-ai-kernel made it", t)
		}
		names = append(names, "'"+t.String()+"'")
	}
	// Indexes without text are the tables' own; ANALYZE, which is no harm, makes the others.
	row, err := c.row(context.Background(), "SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL AND NOT (type = 'table' AND (name LIKE 'sqlite~_stat_' ESCAPE '~' OR name IN ("+
		strings.Join(names, ", ")+"))) LIMIT 1")
	if row == nil || err != nil {
		return err
	}
	return fmt.Errorf("the store has the %v %v, which helm-ai-kernel did not make", row[0], row[1])
}

func createTable(t ledger.Table) string { return "CREATE TABLE " + t.String() + columns(t) }

func (c *conn) makeTables() error {
	for t := range ledger.Table(ledger.Tables) {
		if err := c.exec(createTable(t)); err != nil {
			return err
		}
	}
	if err := c.exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	return c.exec(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
}

// columns of a table. A WITHOUT ROWID table is one tree, clustered by its key, but
// spills what is larger than a quarter of a page: tables with larger values keep
// them by number beside an index.
func columns(t ledger.Table) string {
	switch {
	case t.Dense():
		return " (k INTEGER PRIMARY KEY, v BLOB NOT NULL)"
	case t == ledger.Meta, t == ledger.Heads, t == ledger.Tiles, t == ledger.IDs, t == ledger.Policies:
		return " (k BLOB NOT NULL UNIQUE, v BLOB NOT NULL)"
	}
	return " (k BLOB PRIMARY KEY NOT NULL, v BLOB NOT NULL) WITHOUT ROWID"
}

// A kind of statement.
type kind int

const (
	get      kind = iota
	scanFrom      // to the end
	scanRange
	remove
	put
	putSome // some rows
	putBulk // bulk rows
	kinds
)

// How many rows the statements put that put more than one.
const (
	some = 8
	bulk = 32
)

// statements are all that is ever read or written, per table and kind.
var statements = func() (all [ledger.Tables][kinds]string) {
	for t := range ledger.Table(ledger.Tables) {
		insert := func(rows int) string {
			return "INSERT INTO " + t.String() + " (k, v) VALUES (?, ?)" + strings.Repeat(", (?, ?)", rows-1) +
				" ON CONFLICT (k) DO UPDATE SET v = excluded.v"
		}
		all[t] = [kinds]string{
			get:       "SELECT v FROM " + t.String() + " WHERE k = ?",
			scanFrom:  "SELECT k, v FROM " + t.String() + " WHERE k >= ? ORDER BY k",
			scanRange: "SELECT k, v FROM " + t.String() + " WHERE k >= ? AND k < ? ORDER BY k",
			remove:    "DELETE FROM " + t.String() + " WHERE k = ?",
			put:       insert(1),
			putSome:   insert(some),
			putBulk:   insert(bulk),
		}
	}
	return all
}()
