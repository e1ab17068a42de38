package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/helm-ai-kernel/helm-ai-kernel/facts"
)

// shellFacts is facts.shell: everything that the command arguments would run.
type shellFacts struct {
	opaqueValue
	opaque   bool
	cwd      string
	commands []facts.Command
	texts    []string
	effects  *facts.Effects // what running it would do, once somebody asks
}

func (s *shellFacts) Value() any { return s }

func (f *factsValue) shell() *shellFacts {
	if f.shells != nil {
		return f.shells
	}
	texts := f.of("command")
	s := &shellFacts{opaqueValue: opaqueValue{shellType}, opaque: len(texts) == 0, cwd: f.cwd(), texts: texts}
	for _, text := range texts {
		one := facts.ParseShell(text)
		s.opaque = s.opaque || one.Opaque
		s.commands = append(s.commands, one.Commands...)
	}
	if tooMuch(s.commands) {
		s.opaque, s.commands = true, nil
	}
	f.shells = s
	return s
}

// tooMuch reports whether commands are over what the cost of a condition stands on.
func tooMuch(commands []facts.Command) bool {
	words, bytes := 0, 0
	for _, c := range commands {
		bytes += len(c.Path)
		for _, list := range [][]string{c.Args, c.Env, c.Via, c.Reads, c.Writes} {
			words += len(list)
			for _, w := range list {
				bytes += len(w)
			}
		}
	}
	return len(commands) > facts.MaxShellCommands || words > facts.MaxShellWords || bytes > facts.MaxShellBytes
}

// only reports whether every command is one of allowed, as written: no path for
// a name, no variable set, no wrapper that is not allowed itself, and no file
// written outside of dirs.
func (s *shellFacts) only(allowed, dirs []string) bool {
	if s.opaque || len(s.commands) == 0 {
		return false
	}
	for _, c := range s.commands {
		if len(c.Env) > 0 || !slices.ContainsFunc(allowed, func(a string) bool { return c.Path != "" && begins(a, c.Path, c.Args) }) {
			return false
		}
		for _, via := range c.Via {
			if !slices.Contains(allowed, via) {
				return false
			}
		}
		for _, w := range c.Writes {
			p := facts.ParsePath(w, s.cwd)
			if w != "/dev/null" && !slices.ContainsFunc(dirs, p.Under) {
				return false
			}
		}
	}
	return true
}

// runs reports whether some command that was found, or what wraps it, is one of
// names, wherever its file lies.
func (s *shellFacts) runs(names []string) bool {
	for _, c := range s.commands {
		for _, n := range names {
			if calls(c, n) || c.Path == n || slices.Contains(c.Via, n) {
				return true
			}
		}
	}
	return false
}

// names reports whether some word of a command has a component of one of the
// forms.
func (s *shellFacts) names(patterns []string) bool {
	for _, c := range s.commands {
		for _, f := range c.Files() {
			if hasComponent(f, patterns) {
				return true
			}
		}
	}
	return false
}

// strays reports whether one of the commands has a word that may lead out of the
// working directory.
func (s *shellFacts) strays(commands []string) bool {
	return slices.ContainsFunc(s.commands, func(c facts.Command) bool {
		return slices.ContainsFunc(commands, func(entry string) bool { return calls(c, entry) }) && c.Strays(s.cwd)
	})
}

// calls reports whether a command may be what entry names, wherever its file lies
// and whatever options stand before the entry's words.
func calls(c facts.Command, entry string) bool {
	words := strings.Fields(entry)
	return len(words) > 0 && words[0] == c.Name && c.MayBegin(words[1:]...)
}

// begins reports whether a command begins with the words of entry, and exactly so.
func begins(entry, name string, args []string) bool {
	first, rest, more := strings.Cut(entry, " ")
	if first != name {
		return false
	}
	if !more {
		return true
	}
	words := strings.Fields(rest)
	return len(args) >= len(words) && slices.Equal(args[:len(words)], words)
}

func (s *shellFacts) privileged() bool {
	return s.opaque || slices.ContainsFunc(s.commands, func(c facts.Command) bool { return c.Privileged })
}

func commandList(commands []facts.Command) ref.Val {
	out := make([]ref.Val, len(commands))
	for i, c := range commands {
		out[i] = &command{opaqueValue{commandType}, c}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out)
}

// does is what running the command arguments would do.
func (s *shellFacts) does() *facts.Effects {
	if s.effects != nil {
		return s.effects
	}
	e := &facts.Effects{}
	if len(s.texts) == 0 {
		e.Unknown = []string{"the call has no command"}
	}
	for i, text := range s.texts {
		one := facts.ShellEffects(text, s.cwd)
		if i == 0 {
			*e = one
			continue
		}
		e.Unknown = append(e.Unknown, one.Unknown...)
		e.Commands = append(e.Commands, one.Commands...)
		e.Destroys = append(e.Destroys, one.Destroys...)
		e.FetchToInterpreter = e.FetchToInterpreter || one.FetchToInterpreter
		for _, list := range []struct {
			to   *[]string
			from []string
		}{{&e.Reads, one.Reads}, {&e.Writes, one.Writes}, {&e.Hosts, one.Hosts}, {&e.Secrets, one.Secrets}, {&e.Persists, one.Persists}} {
			if *list.to = append(*list.to, list.from...); len(*list.to) > facts.MaxShellListed {
				*list.to = (*list.to)[:facts.MaxShellListed]
				e.Unknown = append(e.Unknown, "the call names too many files or hosts")
			}
		}
	}
	if tooMuch(e.Commands) {
		e.Commands = nil
		e.Unknown = append(e.Unknown, "the commands have too many words")
	}
	s.effects = e
	return e
}

func (s *shellFacts) harms() ref.Val {
	all := s.does().Destroys
	out := make([]ref.Val, len(all))
	for i, h := range all {
		out[i] = &harm{opaqueValue{harmType}, h}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out)
}

type harm struct {
	opaqueValue
	facts.Harm
}

func (h *harm) Value() any { return h }

type command struct {
	opaqueValue
	facts.Command
}

func (c *command) Value() any { return c }

// pathFacts is facts.path.
type pathFacts struct {
	opaqueValue
	opaque bool
	all    []facts.Path
}

func (p *pathFacts) Value() any { return p }

func (f *factsValue) path() *pathFacts {
	if f.paths != nil {
		return f.paths
	}
	texts := f.of("path")
	p := &pathFacts{opaqueValue: opaqueValue{pathType}, opaque: len(texts) == 0}
	for _, text := range texts {
		one := facts.ParsePath(text, f.cwd())
		p.opaque = p.opaque || one.Opaque
		if !one.Opaque {
			p.all = append(p.all, one)
		}
	}
	f.paths = p
	return p
}

func (p *pathFacts) under(dirs []string) bool {
	return !p.opaque && !slices.ContainsFunc(p.all, func(one facts.Path) bool { return !slices.ContainsFunc(dirs, one.Under) })
}

func (p *pathFacts) touches(dirs []string) bool {
	return p.opaque || slices.ContainsFunc(p.all, func(one facts.Path) bool { return slices.ContainsFunc(dirs, one.Under) })
}

func (p *pathFacts) named(patterns []string) bool {
	return p.opaque || slices.ContainsFunc(p.all, func(one facts.Path) bool {
		return hasComponent(one.Clean, patterns)
	})
}

func hasComponent(file string, patterns []string) bool {
	return slices.ContainsFunc(strings.Split(file, "/"), func(component string) bool {
		return component != "" && slices.ContainsFunc(patterns, func(pattern string) bool { return foldMatch(pattern, component) })
	})
}

func (p *pathFacts) clean() []string {
	out := make([]string, len(p.all))
	for i, one := range p.all {
		out[i] = one.Clean
	}
	return out
}
