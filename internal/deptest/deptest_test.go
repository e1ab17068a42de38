// Package deptest holds the direction of the module's dependencies. The rules, each
// with its reason, are in rules_test.go; what breaks one is named with the way it
// came in.
package deptest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/helm-ai-kernel/helm-ai-kernel"

// A pkg is a package as go list shows it. Imports are without those of tests.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// A graph is packages by import path, with all that they depend on.
type graph map[string]*pkg

func TestDirections(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "windows"} { // files for one system only are held too
		g := load(t, system)
		if g[module] == nil || g[module+"/verify"] == nil || len(g[module+"/verify"].Imports) == 0 {
			t.Fatal("go list shows no package of the module: this test would hold nothing")
		}
		for _, breach := range g.breaches(bans, onlys, siblings) {
			t.Errorf("%s: %s", system, breach)
		}
	}
}

func TestPure(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pure {
		files, err := filepath.Glob(filepath.Join(root, name, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no files: %v", name, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			breaches, err := impurities(filepath.Join(name, filepath.Base(file)), src)
			if err != nil {
				t.Fatal(err)
			}
			for _, breach := range breaches {
				t.Error(breach)
			}
		}
	}
}

func load(t *testing.T, system string) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	g := graph{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(pkg)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatal(err)
		}
		g[p.ImportPath] = p
	}
}

// breaches lists what breaks a rule, in order.
func (g graph) breaches(bans []ban, onlys []only, siblings map[string]string) (out []string) {
	for _, path := range slices.Sorted(maps.Keys(g)) {
		if !matches(everything, path) {
			continue
		}
		for _, b := range bans {
			if !matches(b.in, path) || matches(b.except, path) {
				continue
			}
			ways := g.ways(path, !b.through)
			for _, to := range slices.Sorted(maps.Keys(ways)) {
				if matches(b.never, to) {
					out = append(out, breach(ways[to], b.because))
				}
			}
		}
		for _, o := range onlys {
			if !matches(o.in, path) {
				continue
			}
			ways := g.ways(path, false)
			for _, to := range slices.Sorted(maps.Keys(ways)) {
				if !g.standard(to) && !matches(o.allowed, to) {
					out = append(out, breach(ways[to], o.because))
				}
			}
		}
		for _, folder := range slices.Sorted(maps.Keys(siblings)) {
			own := child(folder, path)
			for _, to := range g[path].Imports {
				if other := child(folder, to); own != "" && other != "" && own != other {
					out = append(out, breach([]string{path, to}, siblings[folder]))
				}
			}
		}
	}
	return out
}

func breach(way []string, because string) string {
	return fmt.Sprintf("%s: forbidden, because %s", strings.Join(way, " imports "), because)
}

// standard reports whether a package is of the standard library; "unsafe" and what
// go list did not show included.
func (g graph) standard(path string) bool {
	if p := g[path]; p != nil {
		return p.Standard
	}
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// ways shows, for each package that path depends on, a shortest way to it. What
// the standard library itself imports is its own affair.
func (g graph) ways(path string, direct bool) map[string][]string {
	ways := map[string][]string{}
	queue := [][]string{{path}}
	for len(queue) > 0 {
		way := queue[0]
		queue = queue[1:]
		at := way[len(way)-1]
		p := g[at]
		if p == nil || g.standard(at) || direct && len(way) > 1 {
			continue
		}
		for _, to := range p.Imports {
			if ways[to] == nil && to != path {
				ways[to] = append(slices.Clip(way), to)
				queue = append(queue, ways[to])
			}
		}
	}
	return ways
}

// matches reports whether a pattern of the rules names the import path.
func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == "." {
			p = module
		} else if rest, ok := strings.CutPrefix(p, "./"); ok {
			p = module + "/" + rest
		}
		if prefix, ok := strings.CutSuffix(p, "/..."); ok {
			return path == prefix || strings.HasPrefix(path, prefix+"/")
		}
		return path == p
	})
}

// child is the first element of path below the folder, or "".
func child(folder, path string) string {
	rest, ok := strings.CutPrefix(path, module+strings.TrimPrefix(folder, ".")+"/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// impurities lists what a file does that one of a pure package may not.
func impurities(file string, src []byte) (breaches []string, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	found := func(pos token.Pos, what, because string) {
		breaches = append(breaches, fmt.Sprintf("%s: %s: forbidden, because %s", fset.Position(pos), what, because))
	}
	imports := map[string]string{} // name in the file -> import path
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		as := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			as = spec.Name.Name
		}
		if as == "." && impure[path] != nil {
			found(spec.Pos(), "import . "+spec.Path.Value, "a use of it could not be seen")
		}
		imports[as] = path
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found(n.Pos(), "go statement", "what runs at once has no order: pure packages are called by those that run at once")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			path := imports[x.Name]
			because := impure[path][n.Sel.Name]
			if because == "" {
				because = impure[path]["*"]
			}
			if because != "" {
				found(n.Pos(), path+"."+n.Sel.Name, because)
			}
		}
		return true
	})
	return breaches, nil
}
