package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// A table is a TOML table and its place. Its methods return what the table
// holds, or report to the source what is wrong and return an empty value.
type table struct {
	s    *source
	path string
	m    map[string]any
}

// only reports every key that is not one of known.
func (t table) only(known ...string) {
	for _, key := range slices.Sorted(maps.Keys(t.m)) {
		if !slices.Contains(known, key) {
			t.s.key(join(t.path, key), closest(key, known), "the key %q is not known here", key)
		}
	}
}

// need returns the value of a key that must be there.
func (t table) need(key string) (any, bool) {
	v, ok := t.m[key]
	if !ok {
		t.s.key(t.path, "", "%s is missing here", key)
	}
	return v, ok
}

// str returns the non-empty string of a key that must be there.
func (t table) str(key string) string {
	v, ok := t.need(key)
	if !ok {
		return ""
	}
	text, ok := v.(string)
	switch {
	case !ok:
		t.s.val(join(t.path, key), "", "%s must be a string, this is %s", key, kindOf(v))
	case text == "":
		t.s.val(join(t.path, key), "", "%s is empty", key)
	}
	return text
}

// name returns the helm name of a key that must be there.
func (t table) name(key string) string {
	n := t.str(key)
	if n == "" {
		return ""
	}
	if err := helm.CheckName(key, n); err != nil {
		t.s.val(join(t.path, key), "", "%s", err)
	}
	return n
}

// strings returns an array of strings, never nil when the key holds an array.
func (t table) strings(key string) []string {
	all, ok := t.m[key].([]any)
	if !ok {
		t.s.val(join(t.path, key), "", "%s must be an array of strings, this is %s", key, kindOf(t.m[key]))
		return nil
	}
	out := make([]string, 0, len(all))
	for i, v := range all {
		text, ok := v.(string)
		if !ok || text == "" {
			t.s.val(indexed(join(t.path, key), i), "", "%s must be an array of non-empty strings, this is %s", key, kindOf(v))
			continue
		}
		out = append(out, text)
	}
	return out
}

func (t table) table(key string) (table, bool) {
	v, ok := t.m[key]
	if !ok {
		return table{}, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		t.s.val(join(t.path, key), "", "%s must be a table, this is %s", key, kindOf(v))
	}
	return table{t.s, join(t.path, key), m}, ok
}

// tables returns an array of tables, such as all [[rule]]s.
func (t table) tables(key string) []table {
	v, ok := t.m[key]
	if !ok {
		return nil
	}
	all, ok := v.([]any)
	if !ok {
		t.s.key(join(t.path, key), "", "%s must be written as [[%s]]", key, key)
		return nil
	}
	var out []table
	for i, one := range all {
		path := indexed(join(t.path, key), i)
		m, ok := one.(map[string]any)
		if !ok {
			t.s.key(path, "", "%s must be written as [[%s]]", key, key)
			continue
		}
		out = append(out, table{t.s, path, m})
	}
	return out
}

// kindOf names a TOML value's type for a message.
func kindOf(v any) string {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "an empty string"
		}
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	case time.Time, toml.LocalDate, toml.LocalDateTime, toml.LocalTime:
		return "a date or a time"
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", v), "toml.")
}
