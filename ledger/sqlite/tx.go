package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// A tx is one transaction: a ledger.Reader and, in an Update, a ledger.Writer.
type tx struct {
	ctx  context.Context // of a View, or nil
	c    *conn
	puts [ledger.Tables][]ledger.Row // not written yet: many are written with one statement
	err  error                       // the first error of SQLite: an Update that met one is not committed
	over bool
}

// errOver is returned to who kept a Reader or Writer: its connection is another's
// by then.
var errOver = errors.New("the View or Update that this belongs to has returned")

func (x *tx) end() { x.over = true }

// fail remembers an error of SQLite.
func (x *tx) fail(t ledger.Table, err error) error {
	err = fmt.Errorf("table %s: %w", t, err)
	if x.err == nil {
		x.err = err
	}
	return err
}

// Get implements ledger.Reader.
func (x *tx) Get(t ledger.Table, key []byte) (value []byte, err error) {
	if err := x.ready(t); err != nil {
		return nil, err
	}
	k, err := column(t, key)
	if err != nil {
		return nil, err
	}
	s, err := x.c.take(t, get)
	if err != nil {
		return nil, x.fail(t, err)
	}
	defer x.c.give(t, get, s)
	rows, err := x.query(s, k)
	if err != nil {
		return nil, x.fail(t, err)
	}
	defer rows.Close()
	var v [1]driver.Value
	switch err := rows.Next(v[:]); {
	case err == io.EOF:
		return nil, nil
	case err != nil:
		return nil, x.fail(t, err)
	}
	return blob(t, v[0])
}

// Scan implements ledger.Reader.
func (x *tx) Scan(t ledger.Table, from, to []byte) iter.Seq2[ledger.Row, error] {
	return func(yield func(ledger.Row, error) bool) {
		if err := x.scan(t, from, to, yield); err != nil {
			yield(ledger.Row{}, err)
		}
	}
}

func (x *tx) scan(t ledger.Table, from, to []byte, yield func(ledger.Row, error) bool) error {
	if err := x.ready(t); err != nil {
		return err
	}
	lo, ok := bound(t, from)
	if !ok {
		return nil
	}
	k, args := scanFrom, []driver.Value{lo}
	if to != nil {
		if hi, ok := bound(t, to); ok {
			k, args = scanRange, append(args, hi)
		}
	}
	s, err := x.c.take(t, k)
	if err != nil {
		return x.fail(t, err)
	}
	defer x.c.give(t, k, s)
	rows, err := x.query(s, args...)
	if err != nil {
		return x.fail(t, err)
	}
	defer rows.Close()
	for {
		var v [2]driver.Value
		switch err := rows.Next(v[:]); {
		case err == io.EOF:
			return nil
		case err != nil:
			return x.fail(t, err)
		}
		var row ledger.Row
		if row.Key, err = keyOf(t, v[0]); err != nil {
			return err
		}
		if row.Value, err = blob(t, v[1]); err != nil {
			return err
		}
		if !yield(row, nil) {
			return nil
		}
		if err := x.usable(); err != nil {
			return err
		}
	}
}

// usable is nil while the transaction runs and its context is not done. After some
// errors SQLite has ended it by itself, and would commit every further write alone.
func (x *tx) usable() error {
	switch {
	case x.over:
		return errOver
	case x.err != nil:
		return x.err
	case x.ctx != nil:
		return x.ctx.Err()
	}
	return nil
}

// ready writes what is still to be written to the table that is read next.
func (x *tx) ready(t ledger.Table) error {
	if err := x.usable(); err != nil {
		return err
	}
	return x.flushTable(t)
}

// Put implements ledger.Writer.
func (x *tx) Put(t ledger.Table, key, value []byte) error {
	if err := x.usable(); err != nil {
		return err
	}
	if _, err := column(t, key); err != nil {
		return err
	}
	x.puts[t] = append(x.puts[t], ledger.Row{Key: key, Value: value})
	return nil
}

// Delete implements ledger.Writer.
func (x *tx) Delete(t ledger.Table, key []byte) error {
	if err := x.ready(t); err != nil {
		return err
	}
	k, err := column(t, key)
	if err != nil {
		return err
	}
	x.c.args[0].Value = k
	return x.exec(t, remove, 1)
}

// flush writes all that is still to be written.
func (x *tx) flush() error {
	for t := range x.puts {
		if err := x.flushTable(ledger.Table(t)); err != nil {
			return err
		}
	}
	return nil
}

func (x *tx) flushTable(t ledger.Table) error {
	rows := x.puts[t]
	x.puts[t] = nil
	for len(rows) > 0 {
		k, n := put, 1
		switch {
		case len(rows) >= bulk:
			k, n = putBulk, bulk
		case len(rows) >= some:
			k, n = putSome, some
		}
		for i, r := range rows[:n] {
			key, err := column(t, r.Key)
			if err != nil {
				return err
			}
			x.c.args[2*i].Value, x.c.args[2*i+1].Value = key, notNil(r.Value)
		}
		if err := x.exec(t, k, 2*n); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// exec runs a statement with the first n arguments.
func (x *tx) exec(t ledger.Table, k kind, n int) error {
	s, err := x.c.take(t, k)
	if err != nil {
		return x.fail(t, err)
	}
	defer x.c.give(t, k, s)
	if _, err := s.(driver.StmtExecContext).ExecContext(context.Background(), x.c.args[:n]); err != nil {
		return x.fail(t, err)
	}
	return nil
}

func (x *tx) query(s driver.Stmt, args ...driver.Value) (driver.Rows, error) {
	for i, a := range args {
		x.c.args[i].Value = a
	}
	return s.(driver.StmtQueryContext).QueryContext(context.Background(), x.c.args[:len(args)])
}

// column is a key as the table has it.
func column(t ledger.Table, key []byte) (driver.Value, error) {
	if !t.Dense() {
		return notNil(key), nil
	}
	if len(key) != 8 || key[0] > 0x7f {
		return nil, fmt.Errorf("table %s: the key %x is not a number below 2^63 in 8 bytes", t, key)
	}
	return int64(binary.BigEndian.Uint64(key)), nil
}

// bound is the least key of the table that is not before key, or false when all
// are before it.
func bound(t ledger.Table, key []byte) (driver.Value, bool) {
	if !t.Dense() {
		return notNil(key), true
	}
	var b [8]byte
	copy(b[:], key)
	n := binary.BigEndian.Uint64(b[:])
	if len(key) > 8 {
		n++ // no overflow that matters: the next line refuses what is near it
	}
	if b[0] > 0x7f || n > math.MaxInt64 {
		return nil, false
	}
	return int64(n), true
}

// keyOf is column the other way round.
func keyOf(t ledger.Table, v driver.Value) ([]byte, error) {
	if !t.Dense() {
		return blob(t, v)
	}
	n, ok := v.(int64)
	if !ok {
		return nil, fmt.Errorf("table %s: a key is a %T, not a number: it is damaged", t, v)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(n)), nil
}

func blob(t ledger.Table, v driver.Value) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("table %s: a value is a %T, not bytes: it is damaged", t, v)
	}
	return notNil(b), nil
}

// notNil keeps what is empty apart from what is absent.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
