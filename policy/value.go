package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// MaxElements is how many elements a list, and members a map, may have that a
// rule reads. The static bound on a condition's cost stands on it.
const MaxElements = 1024

// Errors that reading a value gives to a rule. They hold no part of the value.
var (
	errInexact = errors.New("a number is held exactly by none of int, uint and double")
	errMany    = fmt.Errorf("a list or a map has more than %d elements", MaxElements)
)

// value is what a rule sees of a JSON value. What cannot be seen exactly is an
// error value, which only a rule that reads it meets.
func value(v strictjson.Value) ref.Val {
	switch v.Kind {
	case strictjson.Bool:
		return types.Bool(v.Bool)
	case strictjson.Number:
		return number(v.Text)
	case strictjson.String:
		return types.String(v.Text)
	case strictjson.Array:
		if len(v.Elems) > MaxElements {
			return types.WrapErr(errMany)
		}
		return array(v.Elems)
	case strictjson.Object:
		if len(v.Members) > MaxElements {
			return types.WrapErr(errMany)
		}
		return object{v}
	case strictjson.Hidden:
		return hidden(v.Text)
	}
	return types.NullValue
}

// hidden is a value that is not shown: whatever a condition makes of it is unknown
// too, unless the rest of the condition decides without it.
func hidden(pointer string) ref.Val {
	return types.NewUnknown(0, types.NewAttributeTrail(pointer))
}

// number is an int, else a uint, else a double, the first that holds exactly the
// number that text denotes: 1, 1.0 and 1e0 are one number.
func number(text string) ref.Val {
	if i, ok := asInt(text); ok {
		return types.Int(i)
	}
	if u, ok := asUint(text); ok {
		return types.Uint(u)
	}
	if f, ok := asDouble(text); ok {
		return types.Double(f)
	}
	return types.WrapErr(errInexact)
}

func asInt(text string) (int64, bool) {
	d := normal(text)
	digits, ok := d.integer()
	if !ok {
		return 0, false
	}
	if d.negative {
		digits = "-" + digits
	}
	i, err := strconv.ParseInt(digits, 10, 64)
	return i, err == nil
}

func asUint(text string) (uint64, bool) {
	d := normal(text)
	digits, ok := d.integer()
	if !ok || d.negative {
		return 0, false
	}
	u, err := strconv.ParseUint(digits, 10, 64)
	return u, err == nil
}

// asDouble holds a number exactly when the shortest decimal that reads back as
// the same double is that number. So 0.1 is a double although its binary value is
// another, and no two numbers share one.
func asDouble(text string) (float64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false
	}
	d := normal(text)
	if d.digits == "" {
		return 0, true // never the other zero
	}
	return f, normal(strconv.FormatFloat(f, 'e', -1, 64)) == d
}

// A scientific is digits times ten to the exponent. Its digits neither begin nor
// end with a zero; zero has none, and no sign.
type scientific struct {
	negative bool
	digits   string
	exponent int
}

// normal reads a JSON number. Exponents beyond any number that is held here are
// cut off.
func normal(text string) scientific {
	var d scientific
	text, d.negative = strings.CutPrefix(text, "-")
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		e, err := strconv.Atoi(text[i+1:])
		if err != nil || e > 1e9 || e < -1e9 {
			e = 1e9
			if text[i+1] == '-' {
				e = -e
			}
		}
		d.exponent, text = e, text[:i]
	}
	if whole, fraction, ok := strings.Cut(text, "."); ok {
		d.exponent -= len(fraction)
		text = whole + fraction
	}
	text = strings.TrimLeft(text, "0")
	d.digits = strings.TrimRight(text, "0")
	d.exponent += len(text) - len(d.digits)
	if d.digits == "" {
		return scientific{}
	}
	return d
}

// integer returns the digits of an integer of at most twenty.
func (d scientific) integer() (string, bool) {
	if d.digits == "" {
		return "0", true
	}
	if d.exponent < 0 || d.exponent > 20 || len(d.digits)+d.exponent > 20 {
		return "", false
	}
	return d.digits + strings.Repeat("0", d.exponent), true
}

// An object is a JSON object as a CEL map from string to dyn, iterated in byte
// order of the names.
type object struct{ v strictjson.Value }

func (o object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	v, ok := o.v.Get(string(name))
	if !ok {
		return nil, false
	}
	return value(v), true
}

func (o object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key")
}

func (o object) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

func (o object) Size() ref.Val { return types.Int(len(o.v.Members)) }

func (o object) Iterator() traits.Iterator {
	return &iterator{n: len(o.v.Members), at: func(i int) ref.Val { return types.String(o.v.Members[i].Name) }}
}

func (o object) Equal(other ref.Val) ref.Val {
	m, ok := other.(traits.Mapper)
	if !ok || m.Size() != o.Size() {
		return types.False
	}
	for _, member := range o.v.Members {
		v, ok := m.Find(types.String(member.Name))
		if !ok {
			return types.False
		}
		if same := equal(value(member.Value), v); same != types.True {
			return same
		}
	}
	return types.True
}

func (object) Type() ref.Type { return types.MapType }
func (o object) Value() any   { return o }
func (object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a map cannot become %s", t)
}
func (o object) ConvertToType(t ref.Type) ref.Val { return convert(o, t) }

// An array is a JSON array as a CEL list of dyn.
type array []strictjson.Value

func (a array) Get(index ref.Val) ref.Val {
	i, err := types.GetOrError(index)
	if err != nil {
		return types.WrapErr(err)
	}
	if i < 0 || i >= len(a) {
		return types.NewErr("index out of bounds")
	}
	return value(a[i])
}

func (a array) Contains(v ref.Val) ref.Val {
	out := ref.Val(types.False)
	for _, e := range a {
		switch same := equal(value(e), v); {
		case same == types.True:
			return same
		case types.IsUnknown(same), types.IsError(same) && out == types.False:
			out = same
		}
	}
	return out
}

func (a array) Size() ref.Val { return types.Int(len(a)) }

func (a array) Iterator() traits.Iterator {
	return &iterator{n: len(a), at: func(i int) ref.Val { return value(a[i]) }}
}

func (a array) Equal(other ref.Val) ref.Val {
	l, ok := other.(traits.Lister)
	if !ok || l.Size() != a.Size() {
		return types.False
	}
	for i, e := range a {
		if same := equal(value(e), l.Get(types.Int(i))); same != types.True {
			return same
		}
	}
	return types.True
}

func (a array) Add(other ref.Val) ref.Val {
	all := make([]ref.Val, len(a))
	for i, e := range a {
		all[i] = value(e)
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all).(traits.Adder).Add(other)
}

func (array) Type() ref.Type { return types.ListType }
func (a array) Value() any   { return a }
func (array) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a list cannot become %s", t)
}
func (a array) ConvertToType(t ref.Type) ref.Val { return convert(a, t) }

// equal is types.Equal that lets what is hidden and an error through.
func equal(a, b ref.Val) ref.Val {
	for _, v := range []ref.Val{a, b} {
		if types.IsUnknownOrError(v) {
			return v
		}
	}
	return types.Equal(a, b)
}

func convert(v ref.Val, t ref.Type) ref.Val {
	switch t {
	case v.Type():
		return v
	case types.TypeType:
		return v.Type().(ref.Val)
	}
	return types.NewErr("no such conversion")
}

// An iterator walks what has n elements.
type iterator struct {
	i, n int
	at   func(int) ref.Val
}

func (it *iterator) HasNext() ref.Val { return types.Bool(it.i < it.n) }

func (it *iterator) Next() ref.Val {
	it.i++
	return it.at(it.i - 1)
}

func (*iterator) Type() ref.Type { return types.IteratorType }
func (it *iterator) Value() any  { return it }
func (it *iterator) Equal(other ref.Val) ref.Val {
	return types.Bool(other == ref.Val(it))
}
func (*iterator) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("an iterator cannot become %s", t)
}
func (*iterator) ConvertToType(ref.Type) ref.Val { return types.NewErr("no such conversion") }
