package policy

import (
	"errors"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/helm-ai-kernel/helm-ai-kernel/facts"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

var (
	factsType   = structType("facts")
	shellType   = structType("facts.shell")
	commandType = structType("facts.shell.command")
	harmType    = structType("facts.shell.harm")
	pathType    = structType("facts.path")
	urlType     = structType("facts.url")
	oneURLType  = structType("facts.url.one")
	hostType    = structType("facts.host")
	texts       = cel.ListType(cel.StringType)
)

// factFields are the fields of facts, of its parts, and of what their lists hold.
var factFields = map[string]fields{
	"facts": {
		"shell": field(shellType, func(f *factsValue) any { return f.inDirectory(func() any { return f.shell() }) }),
		"path":  field(pathType, func(f *factsValue) any { return f.inDirectory(func() any { return f.path() }) }),
		"url":   field(urlType, func(f *factsValue) any { return f.url() }),
		"host":  field(hostType, func(f *factsValue) any { return f.host() }),
	},
	"facts.shell": {
		"opaque":     field(cel.BoolType, func(s *shellFacts) any { return types.Bool(s.opaque) }),
		"privileged": field(cel.BoolType, func(s *shellFacts) any { return types.Bool(s.privileged()) }),
		"commands":   field(cel.ListType(commandType), func(s *shellFacts) any { return commandList(s.commands) }),

		"unknown":              field(texts, func(s *shellFacts) any { return textList(s.does().Unknown) }),
		"resolved":             field(cel.ListType(commandType), func(s *shellFacts) any { return commandList(s.does().Commands) }),
		"destructive":          field(cel.BoolType, func(s *shellFacts) any { return types.Bool(len(s.does().Destroys) > 0) }),
		"destroys":             field(cel.ListType(harmType), func(s *shellFacts) any { return s.harms() }),
		"reads":                field(texts, func(s *shellFacts) any { return textList(s.does().Reads) }),
		"writes":               field(texts, func(s *shellFacts) any { return textList(s.does().Writes) }),
		"hosts":                field(texts, func(s *shellFacts) any { return textList(s.does().Hosts) }),
		"fetch_to_interpreter": field(cel.BoolType, func(s *shellFacts) any { return types.Bool(s.does().FetchToInterpreter) }),
		"secrets":              field(texts, func(s *shellFacts) any { return textList(s.does().Secrets) }),
		"persists":             field(texts, func(s *shellFacts) any { return textList(s.does().Persists) }),
	},
	"facts.shell.harm": {
		"class":   field(cel.StringType, func(h *harm) any { return types.String(h.Class) }),
		"command": field(cel.StringType, func(h *harm) any { return types.String(h.Command) }),
	},
	"facts.shell.command": {
		"name":       field(cel.StringType, func(c *command) any { return types.String(c.Name) }),
		"path":       field(cel.StringType, func(c *command) any { return types.String(c.Path) }),
		"args":       field(texts, func(c *command) any { return textList(c.Args) }),
		"env":        field(texts, func(c *command) any { return textList(c.Env) }),
		"via":        field(texts, func(c *command) any { return textList(c.Via) }),
		"reads":      field(texts, func(c *command) any { return textList(c.Reads) }),
		"writes":     field(texts, func(c *command) any { return textList(c.Writes) }),
		"literal":    field(cel.BoolType, func(c *command) any { return types.Bool(c.Literal) }),
		"dynamic":    field(cel.BoolType, func(c *command) any { return types.Bool(c.Dynamic) }),
		"piped":      field(cel.BoolType, func(c *command) any { return types.Bool(c.Piped) }),
		"privileged": field(cel.BoolType, func(c *command) any { return types.Bool(c.Privileged) }),
	},
	"facts.path": {
		"opaque": field(cel.BoolType, func(p *pathFacts) any { return types.Bool(p.opaque) }),
		"list":   field(texts, func(p *pathFacts) any { return textList(p.clean()) }),
	},
	"facts.url": {
		"opaque":   field(cel.BoolType, func(u *urlFacts) any { return types.Bool(u.opaque) }),
		"userinfo": field(cel.BoolType, func(u *urlFacts) any { return types.Bool(u.userinfo()) }),
		"list":     field(cel.ListType(oneURLType), func(u *urlFacts) any { return u.list() }),
	},
	"facts.url.one": {
		"scheme": field(cel.StringType, func(u *oneURL) any { return types.String(u.Scheme) }),
		"host":   field(cel.StringType, func(u *oneURL) any { return types.String(u.Host.Name) }),
		"port":   field(cel.IntType, func(u *oneURL) any { return types.Int(u.Port) }),
		"path":   field(cel.StringType, func(u *oneURL) any { return types.String(u.Path) }),
	},
	"facts.host": {
		"opaque":   field(cel.BoolType, func(h *hostFacts) any { return types.Bool(h.opaque) }),
		"private":  field(cel.BoolType, func(h *hostFacts) any { return types.Bool(h.private()) }),
		"metadata": field(cel.BoolType, func(h *hostFacts) any { return types.Bool(h.metadata()) }),
		"list":     field(texts, func(h *hostFacts) any { return textList(h.names()) }),
	},
}

// factMethods are the functions of the parts of facts, for suggestions.
var factMethods = map[string][]string{
	"facts.shell": {"only", "runs", "may_run", "names", "strays"},
	"facts.path":  {"under", "touches", "named"},
	"facts.url":   {"scheme"},
	"facts.host":  {"within", "touches"},
}

// partial are the facts that say nothing of what is opaque, and whole those that
// do. An ALLOW rule that reads one of the first must read one of the second.
var (
	partial = append([]string{"shell.runs", "shell.names", "shell.strays", "shell.commands", "path.list", "url.list", "host.list"}, followed...)
	// followed are those that say where the shell's text leads. What they do not know is
	// more than what is opaque: the code that is given to awk, for one.
	followed = []string{"shell.resolved", "shell.destructive", "shell.destroys", "shell.reads", "shell.writes", "shell.hosts", "shell.fetch_to_interpreter", "shell.secrets", "shell.persists"}
	whole    = map[string][]string{
		"shell": {"shell.opaque", "shell.only", "shell.may_run", "shell.privileged"},
		"path":  {"path.opaque", "path.under", "path.touches", "path.named"},
		"url":   {"url.opaque", "url.scheme", "url.userinfo", "host.opaque", "host.within", "host.touches", "host.private", "host.metadata"},
		"host":  {"host.opaque", "host.within", "host.touches", "host.private", "host.metadata"},
	}
	// readFrom are the types of argument that a part of facts is read from.
	readFrom = map[string][]string{"shell": {"command"}, "path": {"path"}, "url": {"url"}, "host": {"host", "url"}}
)

// factFunctions are the functions of the parts of facts. Each takes a list of
// strings, or one string in its place.
var factFunctions = slices.Concat(
	method("only", "facts_shell_only", shellType, 1, func(s *shellFacts, l ...[]string) ref.Val { return types.Bool(s.only(l[0], nil)) }),
	method("only", "facts_shell_only_in", shellType, 2, func(s *shellFacts, l ...[]string) ref.Val {
		return directories(l[1], func(dirs []string) bool { return s.only(l[0], dirs) })
	}),
	method("runs", "facts_shell_runs", shellType, 1, func(s *shellFacts, l ...[]string) ref.Val { return types.Bool(s.runs(l[0])) }),
	method("may_run", "facts_shell_may_run", shellType, 1, func(s *shellFacts, l ...[]string) ref.Val { return types.Bool(s.opaque || s.runs(l[0])) }),
	method("names", "facts_shell_names", shellType, 1, func(s *shellFacts, l ...[]string) ref.Val { return types.Bool(s.names(l[0])) }),
	method("strays", "facts_shell_strays", shellType, 1, func(s *shellFacts, l ...[]string) ref.Val { return types.Bool(s.strays(l[0])) }),
	method("under", "facts_path_under", pathType, 1, func(p *pathFacts, l ...[]string) ref.Val { return directories(l[0], p.under) }),
	method("touches", "facts_path_touches", pathType, 1, func(p *pathFacts, l ...[]string) ref.Val { return directories(l[0], p.touches) }),
	method("named", "facts_path_named", pathType, 1, func(p *pathFacts, l ...[]string) ref.Val { return types.Bool(p.named(l[0])) }),
	method("scheme", "facts_url_scheme", urlType, 1, func(u *urlFacts, l ...[]string) ref.Val { return types.Bool(u.scheme(l[0])) }),
	method("within", "facts_host_within", hostType, 1, func(h *hostFacts, l ...[]string) ref.Val { return types.Bool(h.within(l[0])) }),
	method("touches", "facts_host_touches", hostType, 1, func(h *hostFacts, l ...[]string) ref.Val { return types.Bool(h.touches(l[0])) }),
)

func field[T any](t *types.Type, get func(T) any) *types.FieldType {
	return &types.FieldType{
		Type:  t,
		IsSet: func(any) bool { return true },
		GetFrom: func(target any) (any, error) {
			if unknown, ok := target.(*types.Unknown); ok { // a part of facts, read from what is hidden
				return unknown, nil
			}
			return get(target.(T)), nil
		},
	}
}

// method declares a member function of a part of facts for every mix of one
// string and a list of strings.
func method[T any](name, id string, of *types.Type, n int, call func(T, ...[]string) ref.Val) []cel.EnvOption {
	var out []cel.EnvOption
	for mix := range 1 << n {
		args, overload := []*cel.Type{of}, id
		for i := range n {
			if mix>>i&1 == 0 {
				args, overload = append(args, texts), overload+"_list"
			} else {
				args, overload = append(args, cel.StringType), overload+"_string"
			}
		}
		out = append(out, cel.Function(name, cel.MemberOverload(overload, args, cel.BoolType, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			lists := make([][]string, n)
			for i := range n {
				var ok bool
				if lists[i], ok = stringsOf(args[i+1]); !ok {
					return types.NewErr("no such overload")
				}
			}
			return call(args[0].Value().(T), lists...)
		}))))
	}
	return out
}

func stringsOf(v ref.Val) ([]string, bool) {
	if s, ok := v.(types.String); ok {
		return []string{string(s)}, true
	}
	if all, ok := v.Value().([]string); ok {
		return all, true
	}
	l, ok := v.(traits.Lister)
	if !ok {
		return nil, false
	}
	var out []string
	for it := l.Iterator(); it.HasNext() == types.True; {
		s, ok := it.Next().(types.String)
		if !ok {
			return nil, false
		}
		out = append(out, string(s))
	}
	return out, true
}

func textList(all []string) ref.Val { return types.NewStringList(types.DefaultTypeAdapter, all) }

var errDirectory = errors.New("a directory is not an absolute path")

// directories asks about directories that are directories: a slip of the pen
// would otherwise read as "not under it".
func directories(dirs []string, ask func([]string) bool) ref.Val {
	for _, d := range dirs {
		if facts.ParsePath(d, "").Opaque {
			return types.WrapErr(errDirectory)
		}
	}
	return types.Bool(ask(dirs))
}

// A factsValue is the variable facts: what a call says, read when a rule asks and
// once.
type factsValue struct {
	opaqueValue
	tool *tool // nil when it is not declared
	in   *Input

	shells *shellFacts
	paths  *pathFacts
	urls   *urlFacts
	hosts  *hostFacts
}

func (f *factsValue) Value() any { return f }

// of returns the texts of the arguments of a type, in byte order of their names.
func (f *factsValue) of(kind string) []string {
	if f.tool == nil {
		return nil
	}
	var out []string
	for _, a := range f.tool.args {
		if v, ok := f.in.Arguments.Get(a.name); ok && a.kind == kind {
			out = append(out, v.Text)
		}
	}
	return out
}

// cwd is the working directory that the caller tells, or "".
func (f *factsValue) cwd() string {
	if v, ok := f.in.Context.Get("cwd"); ok && v.Kind == strictjson.String {
		return v.Text
	}
	return ""
}

// inDirectory is a part of facts that is read from the working directory, which may be
// hidden. Arguments that are declared are not: see check.
func (f *factsValue) inDirectory(part func() any) any {
	cwd, ok := f.in.Context.Get("cwd")
	switch {
	case f.in.Context.Kind == strictjson.Hidden:
		return hidden(f.in.Context.Text)
	case ok && cwd.Kind == strictjson.Hidden:
		return hidden(cwd.Text)
	}
	return part()
}

// foldMatch is match without regard to case.
func foldMatch(pattern, name string) bool {
	return match(strings.ToLower(pattern), strings.ToLower(name))
}
