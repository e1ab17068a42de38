package sqlite

import (
	"context"
	"fmt"
	"sync"
)

// The write-ahead log is copied into the file when it is checkpointAt bytes
// longer than what was copied; commits go on meanwhile. It can only begin anew
// when all of it is copied, which under constant load never happens by itself:
// above restartAt commits are held up until the rest is copied, some milliseconds.
// A View that lives long keeps the log of what it sees: it is tried again after
// each further retryAfter bytes.
const (
	checkpointAt = 4 << 20
	restartAt    = 64 << 20
	retryAfter   = 16 << 20
)

// checkpointer copies the write-ahead log into the file.
type checkpointer struct {
	wake chan struct{} // something was committed
	stop chan struct{}
	wg   sync.WaitGroup
}

func (s *Store) startCheckpoints() error {
	// RESTART waits for Views to end: not longer than this.
	c, err := connect(s.path, "rw", append(writerPragmas[:len(writerPragmas):len(writerPragmas)], "busy_timeout = 100"))
	if err != nil {
		return err
	}
	size, err := c.number("PRAGMA page_size")
	if err != nil {
		c.close()
		return err
	}
	s.wake, s.stop = make(chan struct{}, 1), make(chan struct{})
	s.wg.Go(func() { s.checkpoint(c, size) })
	return nil
}

func (s *Store) stopCheckpoints() {
	close(s.stop)
	s.wg.Wait()
}

func (s *Store) committed() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// checkpoint runs until the store is closed, or the disk or the file is broken: then
// nothing more is written. Of other errors none is lost: the log stays as it is.
func (s *Store) checkpoint(c *conn, pageSize int64) {
	defer c.close()
	restart := int64(restartAt)
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			return
		}
		if err := s.copyLog(c, pageSize, &restart); isBroken(err) {
			w := <-s.writer
			s.broken = fmt.Errorf("checkpoint of %s: what is on the disk is not known: %w", s.path, err)
			s.writer <- w
			return
		}
	}
}

// copyLog copies what is worth it, and begins the log anew above restart bytes.
func (s *Store) copyLog(c *conn, pageSize int64, restart *int64) error {
	written, copied, err := c.walCheckpoint("NOOP", pageSize)
	if err != nil || written-copied < checkpointAt {
		return err
	}
	written, _, err = c.walCheckpoint("PASSIVE", pageSize)
	if written < restartAt {
		*restart = restartAt
	}
	if err != nil || written < *restart {
		return err
	}
	w := <-s.writer
	defer func() { s.writer <- w }()
	if _, _, err = c.walCheckpoint("RESTART", pageSize); err != nil {
		*restart = written + retryAfter
	}
	return err
}

// walCheckpoint runs a checkpoint and returns how many bytes the write-ahead log
// has, and how many of them are in the file.
func (c *conn) walCheckpoint(mode string, pageSize int64) (written, copied int64, err error) {
	row, err := c.row(context.Background(), "PRAGMA wal_checkpoint("+mode+")")
	if err != nil {
		return 0, 0, err
	}
	busy, _ := row[0].(int64)
	written, _ = row[1].(int64)
	copied, _ = row[2].(int64)
	if busy != 0 && mode != "NOOP" && mode != "PASSIVE" {
		err = fmt.Errorf("checkpoint: readers or another checkpoint hold the write-ahead log")
	}
	return written * pageSize, copied * pageSize, err
}
