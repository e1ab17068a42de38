package ledger

import (
	"iter"
	"slices"
	"strings"
)

// An overlay is rows that are written but not committed, over a Reader. Rows below
// it are seen where it has none of its own.
type overlay struct {
	below Reader
	rows  [Tables]map[string][]byte // nil value: deleted
}

func (o *overlay) put(t Table, key, value []byte) {
	if o.rows[t] == nil {
		o.rows[t] = map[string][]byte{}
	}
	o.rows[t][string(key)] = value
}

func (o *overlay) delete(t Table, key []byte) { o.put(t, key, nil) }

// Get implements Reader.
func (o *overlay) Get(t Table, key []byte) ([]byte, error) {
	if v, ok := o.rows[t][string(key)]; ok {
		return slices.Clone(v), nil
	}
	return o.below.Get(t, key)
}

// Scan implements Reader.
func (o *overlay) Scan(t Table, from, to []byte) iter.Seq2[Row, error] {
	var own []string
	for k := range o.rows[t] {
		if k >= string(from) && (to == nil || k < string(to)) {
			own = append(own, k)
		}
	}
	if len(own) == 0 {
		return o.below.Scan(t, from, to)
	}
	slices.Sort(own)
	return func(yield func(Row, error) bool) {
		own := own
		// emit yields the overlay's rows with keys before limit.
		emit := func(limit string, all bool) bool {
			for len(own) > 0 && (all || own[0] < limit) {
				k := own[0]
				own = own[1:]
				if v := o.rows[t][k]; v != nil && !yield(Row{[]byte(k), slices.Clone(v)}, nil) {
					return false
				}
			}
			return true
		}
		for row, err := range o.below.Scan(t, from, to) {
			if err != nil {
				yield(Row{}, err)
				return
			}
			if !emit(string(row.Key), false) {
				return
			}
			if len(own) > 0 && own[0] == string(row.Key) {
				continue // replaced or deleted: emit comes to it next
			}
			if !yield(row, nil) {
				return
			}
		}
		emit("", true)
	}
}

// flush writes the overlay's rows, in the order of tables and keys.
func (o *overlay) flush(w Writer) error {
	for t := range Table(Tables) {
		keys := make([]string, 0, len(o.rows[t]))
		for k := range o.rows[t] {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, strings.Compare)
		for _, k := range keys {
			var err error
			if v := o.rows[t][k]; v == nil {
				err = w.Delete(t, []byte(k))
			} else {
				err = w.Put(t, []byte(k), v)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
