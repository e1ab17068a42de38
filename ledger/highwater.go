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

// keepHighWater writes the high-water file after commits, at most highWaterEvery
// late, and once more when the log is closed.
func (l *Log) keepHighWater() {
	defer l.wg.Done()
	tick := time.NewTicker(highWaterEvery)
	defer tick.Stop()
	written := uint64(0)
	for closing := false; !closing; {
		select {
		case <-tick.C:
		case <-l.closing.Done():
			closing = true
			l.idle.Wait()
		}
		h := l.last.Load()
		if l.opts.HighWater == "" || h.Size == written || l.Err() != nil {
			continue
		}
		kept, err := l.checkGrowth(h)
		if err != nil {
			l.fail(err)
			return
		}
		if kept >= h.Size { // another process of this log was here
			continue
		}
		if err := WriteFile(l.opts.HighWater, []byte(h.Checkpoint)); err != nil && l.Degraded() == nil {
			l.fail(fmt.Errorf("high-water file: %w", err))
			return
		}
		written = h.Size
	}
}

// checkGrowth checks that the log still contains what the high-water file says,
// which is of the size that it returns.
func (l *Log) checkGrowth(h *headRow) (kept uint64, err error) {
	b, err := os.ReadFile(l.opts.HighWater)
	if err != nil {
		return 0, fmt.Errorf("high-water file: %w", err)
	}
	err = l.View(context.Background(), func(v *View) error {
		if v.Size() < h.Size {
			return fmt.Errorf("the store shows a log of %d entries, and this process saw %d", v.Size(), h.Size)
		}
		kept, err = l.checkHighWater(v, string(b))
		return err
	})
	return kept, err
}

// checkHighWater refuses a log that is behind the high-water checkpoint, or that
// has other entries below it.
func (l *Log) checkHighWater(v *View, signed string) (size uint64, err error) {
	c, err := receipt.VerifyCheckpoint(signed, l.meta.Origin, l.key)
	if err != nil {
		return 0, fmt.Errorf("high-water file %s: %w", l.opts.HighWater, err)
	}
	if v.Size() < c.Size {
		return 0, fmt.Errorf("the log was rolled back: it has %d entries, and %s shows that it had %d: entries from index %d on are missing",
			v.Size(), l.opts.HighWater, c.Size, v.Size())
	}
	root, err := v.RootAt(c.Size)
	if err != nil {
		return 0, fmt.Errorf("high-water file %s: %w", l.opts.HighWater, err)
	}
	if root != c.Root {
		return 0, fmt.Errorf("the log was rewritten: at size %d its root is %x, and %s shows that it was %x: an entry below index %d was changed",
			c.Size, root, l.opts.HighWater, c.Root, c.Size)
	}
	return c.Size, nil
}

func (l *Log) checkHighWaterFile(v *View) error {
	if l.opts.HighWater == "" {
		return nil
	}
	b, err := os.ReadFile(l.opts.HighWater)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the high-water file %s is missing: key, log and high-water file belong together, and without it a rollback cannot be told", l.opts.HighWater)
	}
	if err != nil {
		return fmt.Errorf("high-water file: %w", err)
	}
	_, err = l.checkHighWater(v, string(b))
	return err
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
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
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
