// Package sqlite keeps a ledger's rows in one SQLite file (modernc.org/sqlite, no
// cgo).
//
// Durability: write-ahead log, synchronous=FULL, so a commit has been synced
// before Update returns. The write-ahead log is copied into the file by a
// goroutine of its own, not by commits; see checkpoint.go.
//
// Concurrency: one connection writes; Updates of this process queue for it, those
// of other processes are kept out by SQLite's lock on the file. Each View has a
// connection and a read transaction of its own.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"modernc.org/sqlite"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// lockWait is how long an Update waits for another process before it gives up.
const lockWait = 10 * time.Second

// maxIdle is how many connections for Views are kept when no View uses them.
const maxIdle = 8

// Store implements ledger.Store in one file.
type Store struct {
	path     string
	lockWait time.Duration

	files  [2]os.FileInfo // the database and its write-ahead log, when they were opened
	writer chan *conn     // holds the connection that writes, when no Update has it
	broken error          // owned by whoever has the writer: why nothing more is written

	mu     sync.Mutex
	idle   []*conn // connections that read, not in use
	closed bool
	uses   sync.WaitGroup // of the store, by Views, Updates and Backups

	checkpointer
}

// Path is the file that the store is in, as it was given to Open.
func (s *Store) Path() string { return s.path }

// errClosed is returned when a closed store is used.
var errClosed = errors.New("the store is closed")

// enter counts a use of the store; it is ended by s.uses.Done.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.uses.Add(1)
	return nil
}

// Close waits for what is running and closes the file. The last process that
// closes it also empties the write-ahead log.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.uses.Wait()
	s.stopCheckpoints()
	var errs []error
	for _, c := range s.idle {
		errs = append(errs, c.close())
	}
	errs = append(errs, (<-s.writer).close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}

// View implements ledger.Store. The snapshot is taken by the first read.
func (s *Store) View(ctx context.Context, read func(ledger.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.uses.Done()
	c, err := s.takeReader()
	if err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	defer s.giveReader(c)
	if err := c.exec("BEGIN"); err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	x := &tx{ctx: ctx, c: c}
	defer x.end()
	return read(x)
}

func (s *Store) takeReader() (*conn, error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	return connect(s.path, "ro", readerPragmas)
}

// giveReader ends the connection's snapshot and keeps it for the next View.
func (s *Store) giveReader(c *conn) {
	err := c.exec("ROLLBACK")
	s.mu.Lock()
	keep := err == nil && len(s.idle) < maxIdle
	if keep {
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	if !keep {
		c.close()
	}
}

// Update implements ledger.Store. The context counts until the lock is held;
// waiting for it ends with ErrAborted after ten seconds too.
func (s *Store) Update(ctx context.Context, write func(ledger.Writer) error) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrAborted, err)
	}
	defer s.uses.Done()
	var c *conn
	select {
	case c = <-s.writer:
		defer func() { s.writer <- c }()
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting to write to %s: %w", ledger.ErrAborted, s.path, ctx.Err())
	}
	if s.broken != nil {
		return s.broken
	}
	if err := s.begin(ctx, c); err != nil {
		return s.aborted(err)
	}
	if err := s.inPlace(); err != nil {
		s.rollback(c, err)
		s.broken = err
		return err
	}
	running := true
	defer func() {
		if running { // write panicked, or ended its goroutine
			s.rollback(c, errors.New("the update did not return"))
		}
	}()
	x := &tx{c: c}
	defer x.end()
	err := write(x)
	if err == nil {
		err = x.flush()
	}
	running = false
	if err != nil || x.err != nil {
		if x.err != nil && !errors.Is(err, x.err) {
			err = errors.Join(err, x.err) // write swallowed it
		}
		return s.rollback(c, err)
	}
	if err := c.exec("COMMIT"); isFull(err) {
		return s.rollback(c, err)
	} else if err != nil {
		s.broken = fmt.Errorf("commit to %s: what was written is not known: %w", s.path, err)
		return s.broken
	}
	s.committed()
	return nil
}

// suffixes of the files that a commit needs after the loss of power.
var suffixes = [2]string{"", "-wal"}

// remember notes which files are open. The write-ahead log is there once something
// was read.
func (s *Store) remember(c *conn) (err error) {
	if _, err = c.number("SELECT count(*) FROM " + ledger.Heads.String()); err != nil {
		return err
	}
	for i, suffix := range suffixes {
		if s.files[i], err = os.Stat(s.path + suffix); err != nil {
			return err
		}
	}
	return nil
}

// inPlace refuses to write when the files were deleted or replaced: SQLite would go
// on in files that nobody can open any more, beside a second log in the new ones.
func (s *Store) inPlace() error {
	for i, suffix := range suffixes {
		if now, err := os.Stat(s.path + suffix); err != nil || !os.SameFile(now, s.files[i]) {
			return fmt.Errorf("write to %s: the file %s was deleted or replaced while it was open: what was written is not known", s.path, s.path+suffix)
		}
	}
	return nil
}

// begin takes SQLite's write lock. Another process holds it for some milliseconds,
// and frees it for some microseconds when it has much to write: so it is asked for
// often.
func (s *Store) begin(ctx context.Context, c *conn) error {
	limit := time.Now().Add(s.lockWait)
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 400*time.Microsecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := c.exec("BEGIN IMMEDIATE")
		if code(err) != sqlite3.SQLITE_BUSY {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("another process has been writing for %v: %w", s.lockWait, err)
		}
		t := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// rollback undoes an update that failed with err, and says what is known after it.
func (s *Store) rollback(c *conn, err error) error {
	// SQLite rolls back by itself after some errors: then this one finds no
	// transaction, which it calls a plain error.
	if rb := c.exec("ROLLBACK"); rb != nil && code(rb) != sqlite3.SQLITE_ERROR {
		s.broken = fmt.Errorf("roll back %s: what was written is not known: %w: after: %v", s.path, rb, err)
		return s.broken
	}
	if isBroken(err) {
		return fmt.Errorf("write to %s: %w", s.path, err)
	}
	return s.aborted(err)
}

func (s *Store) aborted(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w: %s: %w", ledger.ErrAborted, ledger.ErrFull, s.path, err)
	}
	return fmt.Errorf("%w: %w", ledger.ErrAborted, err)
}

// code is the primary result code of an error of SQLite, or 0.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

func isFull(err error) bool { return code(err) == sqlite3.SQLITE_FULL }

// isBroken reports whether the disk or the file cannot be trusted any more.
func isBroken(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_INTERNAL:
		return true
	}
	return false
}
