package policy

import (
	"errors"
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// check returns what is wrong with a call's arguments under the tool's
// declaration, or "". It tells pointers and types, and never a value. Where that
// depends on what is hidden, it returns the place of it.
func (t *tool) check(args strictjson.Value) (wrong, hidden string) {
	if args.Kind == strictjson.Hidden {
		return "", args.Text
	}
	declared := 0
	for i := range t.args {
		a := &t.args[i]
		v, ok := args.Get(a.name)
		if !ok {
			if !a.optional {
				return fmt.Sprintf("the argument %s is missing", pointer(a.name)), ""
			}
			continue
		}
		declared++
		if v.Kind == strictjson.Hidden && a.kind != "any" {
			return "", v.Text
		}
		if a.most > 0 && len(v.Text) > a.most && v.Kind == strictjson.String {
			return fmt.Sprintf("the argument %s must be a string of at most %d bytes, this is longer", pointer(a.name), a.most), ""
		}
		if !a.fits(v) {
			return fmt.Sprintf("the argument %s must be %s, this is %s", pointer(a.name), kindNames[a.kind], jsonKind(v)), ""
		}
	}
	if t.extra || declared == len(args.Members) {
		return "", ""
	}
	for _, m := range args.Members {
		if !t.declares(m.Name) {
			return fmt.Sprintf("the argument %s is not declared", pointer(m.Name)), ""
		}
	}
	return "", ""
}

func (t *tool) declares(name string) bool {
	for _, a := range t.args {
		if a.name == name {
			return true
		}
	}
	return false
}

var kindNames = map[string]string{
	"int": "an integer from -2^63 to 2^63-1", "uint": "an integer from 0 to 2^64-1", "double": "a number that a double holds exactly",
	"bool": "a boolean", "string": "a string", "list": "an array", "map": "an object", "any": "any value",
	"command": "a string", "path": "a string", "url": "a string", "host": "a string",
}

func jsonKind(v strictjson.Value) string {
	switch v.Kind {
	case strictjson.Array, strictjson.Object:
		return "an " + v.Kind.String()
	case strictjson.Null:
		return "null"
	case strictjson.Number:
		return "another number"
	}
	return "a " + v.Kind.String()
}

// pointer writes an argument's name as an RFC 6901 pointer. A name that looks
// like more than a name is not repeated: the caller chose it, and what is said
// here is signed and never erased.
func pointer(name string) string {
	if len(name) > 40 {
		return "of a long name"
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return "of an unusual name"
		}
	}
	return "/" + name
}

func (a *argument) fits(v strictjson.Value) bool {
	switch a.kind {
	case "any":
		return true
	case "bool":
		return v.Kind == strictjson.Bool
	case "list":
		return v.Kind == strictjson.Array
	case "map":
		return v.Kind == strictjson.Object
	case "int", "uint", "double":
		return v.Kind == strictjson.Number && !types.IsError(a.value(v))
	}
	return v.Kind == strictjson.String
}

// value is what a rule sees of an argument that fits.
func (a *argument) value(v strictjson.Value) ref.Val {
	switch a.kind {
	case "int":
		if i, ok := asInt(v.Text); ok {
			return types.Int(i)
		}
	case "uint":
		if u, ok := asUint(v.Text); ok {
			return types.Uint(u)
		}
	case "double":
		if f, ok := asDouble(v.Text); ok {
			return types.Double(f)
		}
	default:
		return value(v)
	}
	return types.WrapErr(errInexact)
}

func (a *argument) celType() *types.Type {
	switch a.kind {
	case "int":
		return cel.IntType
	case "uint":
		return cel.UintType
	case "double":
		return cel.DoubleType
	case "bool":
		return cel.BoolType
	case "list":
		return cel.ListType(cel.DynType)
	case "map":
		return cel.MapType(cel.StringType, cel.DynType)
	case "any":
		return cel.DynType
	}
	return cel.StringType
}

var errAbsent = errors.New("an optional argument is absent")

// argFields gives args the fields that the tool declares.
func argFields(t tool) fields {
	fs := fields{}
	for i := range t.args {
		a := &t.args[i]
		fs[a.name] = &types.FieldType{
			Type: a.celType(),
			IsSet: func(target any) bool {
				_, ok := target.(*arguments).v.Get(a.name)
				return ok
			},
			GetFrom: func(target any) (any, error) {
				v, ok := target.(*arguments).v.Get(a.name)
				if !ok {
					return nil, errAbsent
				}
				return a.value(v), nil
			},
		}
	}
	return fs
}

// arguments are the arguments of a declared tool, as the variable args.
type arguments struct {
	opaqueValue
	v strictjson.Value
}

func (a *arguments) Value() any { return a }

// An opaqueValue is a CEL value that can only be asked for its fields.
type opaqueValue struct{ t *types.Type }

func (o opaqueValue) Type() ref.Type               { return o.t }
func (opaqueValue) Equal(ref.Val) ref.Val          { return types.NewErr("no such overload") }
func (opaqueValue) ConvertToType(ref.Type) ref.Val { return types.NewErr("no such conversion") }
func (o opaqueValue) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot become %s", o.t, t)
}
