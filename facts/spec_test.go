package facts

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestSpecCases reads every row of the tables of spec/facts.md, so that the page cannot
// lie.
func TestSpecCases(t *testing.T) {
	page, err := os.ReadFile("../spec/facts.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	table := ""
	for n, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| ") {
			if !strings.HasPrefix(line, "|--") {
				table = ""
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSuffix(strings.TrimPrefix(cells[i], " "), " ")
		}
		if table == "" {
			table = cells[0]
			continue
		}
		var got string
		switch table {
		case "path":
			got = readPath(ParsePath(text(t, cells[0]), text(t, cells[1])))
		case "host":
			name, flags := readHost(ParseHost(text(t, cells[0])))
			got, cells = name+" | "+flags, []string{cells[0], cells[1] + " | " + cells[2]}
		case "URL":
			got = readURL(ParseURL(text(t, cells[0])))
		case "command line":
			cells = rowCells.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), -1)
			command := strings.ReplaceAll(strings.Trim(cells[0], "`"), `\|`, "|")
			got = readEffects(ShellEffects(command, "/srv/app"))
		default:
			continue // the shell's are read by its own tests
		}
		if want := cells[len(cells)-1]; got != want {
			t.Errorf("spec/facts.md:%d: %s is read as %s, the page says %s", n+1, cells[0], got, want)
		}
		rows[table]++
	}
	if rows["path"] < 60 || rows["host"] < 150 || rows["URL"] < 60 || rows["command line"] < 25 {
		t.Errorf("rows were read: %v", rows)
	}
}

// text is a cell's, in backticks and as in a Go string.
func text(t *testing.T, cell string) string {
	t.Helper()
	if cell == "" {
		return ""
	}
	inner, ok := strings.CutPrefix(cell, "`")
	inner, ok2 := strings.CutSuffix(inner, "`")
	s, err := strconv.Unquote(`"` + strings.ReplaceAll(inner, `"`, `\"`) + `"`)
	if !ok || !ok2 || err != nil {
		t.Fatalf("the cell %q is no text in backticks: %v", cell, err)
	}
	return s
}

// rowCells is what stands between the cells of a row in which a | is written \|.
var rowCells = regexp.MustCompile(` \| `)

func readEffects(e Effects) string {
	var all []string
	for _, h := range e.Destroys {
		all = append(all, "destroys "+h.Class+" `"+h.Command+"`")
	}
	for _, list := range []struct {
		name string
		all  []string
	}{{"reads", e.Reads}, {"writes", e.Writes}, {"hosts", e.Hosts}, {"secrets", e.Secrets}, {"persists", e.Persists}} {
		for _, x := range list.all {
			if x == "" {
				x = `""`
			}
			all = append(all, list.name+" `"+x+"`")
		}
	}
	if e.FetchToInterpreter {
		all = append(all, "fetch_to_interpreter")
	}
	if len(e.Unknown) > 0 {
		all = append(all, "unknown")
	}
	return strings.Join(all, "; ")
}

func readPath(p Path) string {
	if p.Opaque {
		return "opaque"
	}
	return "`" + p.Clean + "`"
}

func readHost(h Host) (name, flags string) {
	name = h.Name
	if name == "" {
		name = h.IP
	}
	if name != "" {
		name = "`" + name + "`"
	}
	var all []string
	for _, f := range []struct {
		on   bool
		word string
	}{{h.Private, "private"}, {h.Loopback, "loopback"}, {h.Metadata, "metadata"}, {h.Opaque, "opaque"}} {
		if f.on {
			all = append(all, f.word)
		}
	}
	return name, strings.Join(all, " ")
}

func readURL(u URL) string {
	out := "opaque"
	if !u.Opaque {
		out = fmt.Sprintf("`%s %s %d %s`", u.Scheme, u.Host.Name, u.Port, u.Path)
	}
	if u.UserInfo {
		out += " userinfo"
	}
	return out
}
