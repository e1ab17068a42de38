package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// A conn is a connection with its prepared statements. It is the driver's, without
// database/sql above it, which would cost as much again as a small statement. It
// is used by one goroutine at a time.
type conn struct {
	c     driver.Conn
	idle  [ledger.Tables][kinds][]driver.Stmt // prepared and not in use
	plain map[string]driver.Stmt
	args  [2 * bulk]driver.NamedValue
}

// connect opens a connection; mode is that of SQLite's URIs.
func connect(path, mode string, pragmas []string) (*conn, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	p := filepath.ToSlash(abs)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // C:/...
	}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: p, RawQuery: "mode=" + mode + "&_error_rc=1"}).String())
	if err != nil {
		return nil, err
	}
	dc, err := connector.Connect(context.Background())
	if err != nil {
		return nil, err
	}
	c := &conn{c: dc, plain: map[string]driver.Stmt{}}
	for i := range c.args {
		c.args[i].Ordinal = i + 1
	}
	for _, p := range pragmas {
		if _, err := c.row(context.Background(), "PRAGMA "+p); err != nil {
			c.close()
			return nil, fmt.Errorf("PRAGMA %s: %w", p, err)
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var errs []error
	for t := range c.idle {
		for _, stmts := range c.idle[t] {
			for _, s := range stmts {
				errs = append(errs, s.Close())
			}
		}
	}
	for _, s := range c.plain {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}

// exec runs a statement without arguments or rows, and keeps it prepared.
func (c *conn) exec(sql string) error {
	s := c.plain[sql]
	if s == nil {
		var err error
		if s, err = c.c.Prepare(sql); err != nil {
			return err
		}
		c.plain[sql] = s
	}
	_, err := s.(driver.StmtExecContext).ExecContext(context.Background(), nil)
	return err
}

// row is the first row of a query that is run once, or nil.
func (c *conn) row(ctx context.Context, sql string, args ...driver.Value) ([]driver.Value, error) {
	s, err := c.c.Prepare(sql)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for i, a := range args {
		c.args[i].Value = a
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, c.args[:len(args)])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	dest := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(dest); err != nil {
		if err == io.EOF {
			return nil, nil
		}
		return nil, err
	}
	return dest, nil
}

// number is the first number of the row that a query gives.
func (c *conn) number(sql string) (int64, error) {
	row, err := c.row(context.Background(), sql)
	if err != nil {
		return 0, err
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("%s: it gives %v, not a number", sql, row)
	}
	return n, nil
}

// take gets a statement for one use. A scan that runs inside another one of the
// same table gets one of its own.
func (c *conn) take(t ledger.Table, k kind) (driver.Stmt, error) {
	if free := c.idle[t][k]; len(free) > 0 {
		c.idle[t][k] = free[:len(free)-1]
		return free[len(free)-1], nil
	}
	return c.c.Prepare(statements[t][k])
}

func (c *conn) give(t ledger.Table, k kind, s driver.Stmt) {
	c.idle[t][k] = append(c.idle[t][k], s)
}
