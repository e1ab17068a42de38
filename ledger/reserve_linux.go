package ledger

import (
	"errors"
	"os"
	"syscall"
)

// reserve gives a file size bytes of the disk.
func reserve(f *os.File, size int64) error {
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return writeAll(f, size)
	}
	return err
}
