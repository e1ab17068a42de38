package sqlite

import (
	"path/filepath"
	"testing"

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
