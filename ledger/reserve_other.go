//go:build !linux

package ledger

import "os"

// reserve gives a file size bytes of the disk.
func reserve(f *os.File, size int64) error { return writeAll(f, size) }
