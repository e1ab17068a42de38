package sqlite_test

import (
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
)

// TestHostileSchema: a file that somebody else prepared, a backup for example, can
// hold statements that run whenever a row is written, or read. It is not opened.
func TestHostileSchema(t *testing.T) {
	base := newVictim(t)
	for _, test := range []struct{ name, sql, want string }{
		{"trigger", "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM calls; END", "trigger t"},
		{"view in place of a table", "ALTER TABLE calls RENAME TO c2; CREATE VIEW calls AS SELECT * FROM c2 WHERE 0", "table calls"},
		{"view", "CREATE VIEW v AS SELECT 1", "view v"},
		{"table", "CREATE TABLE more (k)", "table more"},
		{"index", "CREATE UNIQUE INDEX i ON entries (v)", "index i"},
		{"table dropped", "DROP TABLE policies", "table policies"},
		{"column", "ALTER TABLE policies ADD COLUMN x DEFAULT 'y'", "table policies"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := base.copy(t)
			v.run(t, test.sql)
			s, err := sqlite.Open(v.db)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			t.Log(err)
			if !strings.Contains(err.Error(), test.want) {
				t.Fatalf("the refusal does not say %q", test.want)
			}
		})
	}
	// ANALYZE is no harm.
	v := base.copy(t)
	v.run(t, "ANALYZE")
	s, err := sqlite.Open(v.db)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
