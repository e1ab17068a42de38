package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// ReserveBytes is the size of the disk-full reserve: enough to record some
// thousand DENYs.
const ReserveBytes = 16 << 20

// highWaterEvery is how late the high-water file may be: the longest stretch of
// the log whose loss, together with the store, nothing on this machine shows.
const highWaterEvery = time.Second

// lastLooks bounds how often a log that is closed looks whether others went on
// meanwhile.
const lastLooks = 8

// keepHighWater looks at the store once in highWaterEvery, and once more when the
// log is closed and its last entry recorded.
func (l *Log) keepHighWater() {
	defer l.wg.Done()
	tick := time.NewTicker(highWaterEvery)
	defer tick.Stop()
	for closing := false; !closing; {
		looks := 1
		select {
		case <-tick.C:
		case <-l.drained:
			closing, looks = true, lastLooks
		}
		for wrote := true; wrote && looks > 0 && l.Err() == nil; looks-- {
			var err error
			if wrote, err = l.lookAtStore(); err != nil {
				l.fail(err)
			}
		}
	}
}

// lookAtStore takes note of the store's head, also of entries that other processes
// recorded, perhaps their last before they were killed, and writes the high-water
// file where it shows less. A process that was slow may have put an older file in
// place of a newer one: so whoever wrote it looks again.
func (l *Log) lookAtStore() (wrote bool, err error) {
	last := l.last.Load()
	var signed []byte
	if l.opts.HighWater != "" { // before the store is read: it is never ahead of it
		if signed, err = os.ReadFile(l.opts.HighWater); err != nil {
			return false, fmt.Errorf("high-water file: %w", err)
		}
	}
	var h *headRow
	err = l.store.View(context.Background(), func(r Reader) error {
		if h, err = readHead(r); err == nil {
			err = l.observe(last, h, r)
		}
		if err == nil && signed != nil && h.Checkpoint != string(signed) {
			err = l.checkHighWater(&View{rows: r, head: *h, meta: l.meta}, string(signed))
		}
		return err
	})
	if err != nil || signed == nil || h.Checkpoint == string(signed) {
		return false, err
	}
	if err := WriteFile(l.opts.HighWater, []byte(h.Checkpoint)); err != nil {
		if l.Degraded() != nil {
			return false, nil // the disk is full: it is tried again
		}
		return false, fmt.Errorf("high-water file: %w", err)
	}
	return true, nil
}

// checkHighWater refuses a log that is behind the high-water checkpoint, or that
// has other entries below it.
func (l *Log) checkHighWater(v *View, signed string) error {
	c, err := receipt.VerifyCheckpoint(signed, l.meta.Origin, l.key)
	if err != nil {
		c, err = l.oldHighWater(v, signed, err)
	}
	if err != nil {
		return fmt.Errorf("high-water file %s: %w", l.opts.HighWater, err)
	}
	if v.Size() < c.Size {
		return fmt.Errorf("the log was rolled back: it has %d entries, and %s shows that it had %d: entries from index %d on are missing",
			v.Size(), l.opts.HighWater, c.Size, v.Size())
	}
	if err := v.extends(c.Size, c.Root); err != nil {
		return fmt.Errorf("the log was rewritten: at size %d it was another, as %s shows: an entry below index %d was changed: %w",
			c.Size, l.opts.HighWater, c.Size, err)
	}
	return nil
}

// oldHighWater verifies a high-water checkpoint from before the key was replaced:
// whoever did that may have been killed before he wrote the file.
func (l *Log) oldHighWater(v *View, signed string, newest error) (receipt.Checkpoint, error) {
	c, _, err := receipt.ParseCheckpoint(signed)
	if err != nil {
		return c, err
	}
	key, err := v.KeyAt(c.Size)
	if err != nil {
		return c, err
	}
	if key.Equal(l.key) {
		return c, newest
	}
	return receipt.VerifyCheckpoint(signed, l.meta.Origin, key)
}

// readHighWater is the high-water checkpoint, or "" where none is kept. It is read before the
// store is: other processes go on meanwhile, and the file is never ahead of the store.
func (l *Log) readHighWater() (string, error) {
	if l.opts.HighWater == "" {
		return "", nil
	}
	b, err := os.ReadFile(l.opts.HighWater)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the high-water file %s is missing: key, log and high-water file belong together, and without it a rollback cannot be told", l.opts.HighWater)
	}
	if err != nil {
		return "", fmt.Errorf("high-water file: %w", err)
	}
	return string(b), nil
}

// WriteFile replaces a file of mode 0600 durably: it has the old or the new
// content, whatever happens.
func WriteFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if err2 := tmp.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	return Rename(tmp.Name(), path)
}

// Rename gives a file another name in the same folder, durably, in place of a file
// that has it.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(to)); err == nil {
		defer d.Close()
		if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
			return err
		}
	}
	return nil
}

// openReserve makes the file whose room is given back when the disk is full.
func (l *Log) openReserve() error {
	if l.opts.Reserve == "" {
		return nil
	}
	if st, err := os.Stat(l.opts.Reserve); err == nil && st.Size() == ReserveBytes {
		return nil
	}
	f, err := os.OpenFile(l.opts.Reserve, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = reserve(f, ReserveBytes)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		os.Remove(l.opts.Reserve)
		return fmt.Errorf("disk-full reserve of %d bytes: %w: free some room and start again", ReserveBytes, err)
	}
	return nil
}

// writeAll writes a file: a hole would reserve nothing.
func writeAll(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = 'r'
	}
	for ; size > 0; size -= int64(len(block)) {
		if _, err := f.Write(block[:min(size, int64(len(block)))]); err != nil {
			return err
		}
	}
	return f.Sync()
}

// degrade answers a full disk: the reserve is given back, so that DENYs can still
// be recorded, and nothing is allowed until a restart.
func (l *Log) degrade(err error) error {
	if l.opts.Reserve == "" || !errors.Is(err, ErrAborted) {
		return l.fail(err)
	}
	if l.Degraded() != nil {
		return l.fail(fmt.Errorf("the reserve is used up too: %w", err))
	}
	if rm := os.Remove(l.opts.Reserve); rm != nil {
		return l.fail(fmt.Errorf("%w: and the reserve could not be given back: %w", err, rm))
	}
	err = fmt.Errorf("%w: only DENY is answered until there is room and the kernel is started again", err)
	l.degraded.Store(&err)
	return err
}
