package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/facts"
)

// MaxCost is the highest worst case, in cel-go's cost units, of a condition. One
// whose worst case is over meteredCost is also stopped there as it runs.
const (
	MaxCost     = 2_000_000
	meteredCost = 200_000
)

// The language of conditions. All of it is here: what is not named does not
// exist. The overloads that take a time zone are left out, because they read the
// machine's zone files.
var functions = map[string][]string{
	"_&&_": nil, "_||_": nil, "!_": nil, "_?_:_": nil,
	"_==_": nil, "_!=_": nil, "_<_": nil, "_<=_": nil, "_>_": nil, "_>=_": nil,
	"_+_": nil, "_-_": nil, "_*_": nil, "_/_": nil, "_%_": nil, "-_": nil,
	"_[_]": nil, "@in": nil, "@not_strictly_false": nil,
	"size": nil, "contains": nil, "startsWith": nil, "endsWith": nil, "matches": nil,
	"int": nil, "uint": nil, "double": nil, "string": nil, "duration": nil, "timestamp": nil,
	"getFullYear": {"timestamp_to_year"}, "getMonth": {"timestamp_to_month"}, "getDate": {"timestamp_to_day_of_month_1_based"},
	"getDayOfWeek": {"timestamp_to_day_of_week"}, "getHours": {"timestamp_to_hours"}, "getMinutes": {"timestamp_to_minutes"},
}

var macros = []string{"has", "all", "exists", "exists_one", "map", "filter"}

// The variables of a condition, beside args, whose type is the tool's.
var variables = []cel.EnvOption{
	cel.Variable("tool", cel.StringType),
	cel.Variable("agent", cel.StringType),
	cel.Variable("session", cel.StringType),
	cel.Variable("principal", cel.StringType),
	cel.Variable("boundary", cel.StringType),
	cel.Variable("context", cel.MapType(cel.StringType, cel.DynType)),
	cel.Variable("facts", factsType),
	cel.Variable("lists", listsType),
	cel.Variable("now", cel.TimestampType),
}

var listsType = structType("lists")

// A language is the conditions' language under one policy: its lists and its
// tools' arguments are part of it.
type language struct {
	structs map[string]fields   // by type name
	base    *cel.Env            // without args
	envs    map[string]*cel.Env // by tool; "" is a tool that is not declared
	sizes   sizes
}

// fields are the fields of a struct, by name.
type fields map[string]*types.FieldType

func newLanguage(f *file) (*language, error) {
	l := &language{structs: map[string]fields{listsType.TypeName(): listFields(f.lists)}, envs: map[string]*cel.Env{}, sizes: sizes{lists: f.lists}}
	for name, fs := range factFields {
		l.structs[structType(name).TypeName()] = fs
	}
	for _, t := range f.tools {
		l.structs[argsType(t.name).TypeName()] = argFields(t)
	}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	subset := &env.LibrarySubset{IncludeMacros: macros}
	for name, overloads := range functions {
		fn := env.NewFunction(name)
		for _, id := range overloads {
			fn.Overloads = append(fn.Overloads, &env.Overload{ID: id})
		}
		subset.IncludeFunctions = append(subset.IncludeFunctions, fn)
	}
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(&provider{registry, l.structs}),
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EnableIdentifierEscapeSyntax(),
		cel.EnableHiddenAccumulatorName(true),
		cel.EnableMacroCallTracking(), // so that conditions can be written down again
		cel.ParserExpressionSizeLimit(MaxWhenBytes),
		cel.ParserRecursionLimit(50),
		cel.ParserErrorRecoveryLimit(5),
		cel.ExpressionNodeLimit(2000),
		cel.ExpressionNestingDepthLimit(100),
		cel.RegexProgramSizeLimit(1000),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	}
	options = append(options, variables...)
	options = append(options, factFunctions...)
	l.base, err = cel.NewCustomEnv(options...)
	return l, err
}

// env is the environment in which a tool's conditions are checked; nil stands for
// tools that are not declared, whose args are a map.
func (l *language) env(t *tool) (*cel.Env, error) {
	name, args := "", cel.MapType(cel.StringType, cel.DynType)
	if t != nil {
		name, args = t.name, argsType(t.name)
	}
	if e, ok := l.envs[name]; ok {
		return e, nil
	}
	e, err := l.base.Extend(cel.Variable("args", args))
	if err == nil {
		l.envs[name] = e
	}
	return e, err
}

// A provider tells CEL the fields of args, lists and facts.
type provider struct {
	*types.Registry
	structs map[string]fields
}

func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.structs[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return nil, false // no message can be made, and Registry's well-known ones are none of ours
}

func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	fs, ok := p.structs[name]
	return fs.names(), ok
}

func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	f, ok := p.structs[name][field]
	return f, ok
}

func (p *provider) NewValue(name string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("a %s cannot be made", name)
}

func (fs fields) names() []string {
	out := make([]string, 0, len(fs))
	for name := range fs {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// listFields gives lists its fields: the lists' values never change.
func listFields(lists map[string][]string) fields {
	fs := fields{}
	for name, all := range lists {
		v := types.NewStringList(types.DefaultTypeAdapter, all)
		fs[name] = &types.FieldType{
			Type:    cel.ListType(cel.StringType),
			IsSet:   func(any) bool { return true },
			GetFrom: func(any) (any, error) { return v, nil },
		}
	}
	return fs
}

// sizes bounds what a condition reads, for the static cost: see spec/policy.md.
type sizes struct {
	lists  map[string][]string
	ranges map[int64]bool // expressions that a comprehension walks
	tool   *tool          // that the condition is for, or nil
}

// factSizes bounds the lists of facts by what they hold in all: facts.MaxShellWords
// is 4 for each command, and facts.MaxShellBytes is 64 for each word. One command
// may have more than its share, which matters in a loop within a loop, and those
// are metered.
var factSizes = map[string]uint64{
	"commands": facts.MaxShellCommands, "args": 4, "env": 4, "via": 4, "reads": 4, "writes": 4,
}

// shellSizes bounds the lists of facts.shell itself.
var shellSizes = map[string]uint64{
	"resolved": facts.MaxShellCommands, "destroys": facts.MaxShellListed, "unknown": facts.MaxShellListed,
	"reads": facts.MaxShellListed, "writes": facts.MaxShellListed, "hosts": facts.MaxShellListed, "secrets": facts.MaxShellListed, "persists": facts.MaxShellListed,
}

const wordBytes = facts.MaxShellBytes / facts.MaxShellWords

const elementBytes = helm.MaxInputBytes / MaxElements // so that a full list of them is a full input

func (s sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	path := node.Path()
	if len(path) == 0 {
		return nil
	}
	if path[0] == "lists" && len(path) >= 2 {
		all := s.lists[path[1]]
		if len(path) == 2 {
			return atMost(uint64(len(all)))
		}
		longest := 0
		for _, one := range all {
			longest = max(longest, len(one))
		}
		return atMost(uint64(longest))
	}
	switch path[0] {
	case "tool", "agent", "session", "principal", "boundary":
		return atMost(helm.MaxNameBytes)
	case "args":
		if s.tool == nil || len(path) != 2 {
			break
		}
		if i := slices.IndexFunc(s.tool.args, func(a argument) bool { return a.name == path[1] }); i >= 0 && s.tool.args[i].most > 0 {
			return atMost(uint64(s.tool.args[i].most))
		}
	}
	if n, ok := shellSizes[path[len(path)-1]]; ok && len(path) == 3 && path[0] == "facts" {
		return atMost(n)
	}
	if n, ok := factSizes[path[len(path)-1]]; ok && path[0] == "facts" {
		return atMost(n)
	}
	if x := node.Expr(); x != nil && s.ranges[x.ID()] {
		return atMost(MaxElements)
	}
	switch node.Type().Kind() {
	case types.ListKind, types.MapKind:
		return atMost(MaxElements)
	}
	for i, step := range path {
		if strings.HasPrefix(step, "@") {
			if path[0] == "facts" && path[1] == "shell" && i > 1 {
				return atMost(wordBytes)
			}
			return atMost(elementBytes)
		}
	}
	return atMost(helm.MaxInputBytes)
}

func (s sizes) EstimateCallCost(_, overload string, _ *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if !strings.HasPrefix(overload, "facts_") {
		return nil
	}
	n := uint64(MaxElements)
	for _, a := range args {
		size := cost.EstimateSize(s, a).Max
		if a.Type().Kind() == types.ListKind {
			size = cost.SafeMultiply(size, MaxElements)
		}
		n = cost.SafeAdd(n, size)
	}
	return cost.NewCallEstimate(cost.RangedCostEstimate(1, n), nil)
}

func atMost(n uint64) *cost.SizeEstimate {
	e := cost.RangedSizeEstimate(0, n)
	return &e
}

// structType is the type of what holds fields. Its name is none that a condition
// can write: CEL would take it for the type, before the variable's field.
func structType(name string) *types.Type { return cel.ObjectType("<" + name + ">") }

func argsType(tool string) *types.Type { return structType("args of " + tool) }
