package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Backup writes what is committed to a new file of mode 0600, which is durable
// when it returns: a store like this one, without gaps. Updates go on meanwhile.
// It refuses a file that exists, and leaves none behind when it fails.
func (s *Store) Backup(ctx context.Context, path string) error {
	if err := s.backup(ctx, path); err != nil {
		return fmt.Errorf("back up %s to %s: %w", s.path, path, err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, path string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.uses.Done()
	c, err := connect(s.path, "ro", readerPragmas)
	if err != nil {
		return err
	}
	defer c.close()
	// SQLite writes into an empty file too, which is how this one gets its mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = c.row(ctx, "VACUUM INTO ?", path)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}
