package hosts

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/pelletier/go-toml/v2"
	"github.com/tailscale/hujson"
)

// A hook can block whatever it is asked, and never be asked: a host reads nothing of a file
// that it does not understand, and leaves out hooks that are switched off or not trusted.
// What follows was read in the hosts' sources where they have any, and internal/hosttest
// holds it against the hosts themselves.

// Unread says why the host reads nothing of its JSON file, or "".
func (h *Host) Unread(content []byte) string {
	if len(content) == 0 {
		return ""
	}
	plain, allowed := content, "JSON without comments and without a comma behind the last of a list"
	if h == Gemini {
		plain, allowed = withoutComments(content), "JSON without a comma behind the last of a list"
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(plain, &members) != nil {
		return fmt.Sprintf("%s reads %s, and nothing of any other file", h.Title, allowed)
	}
	for name := range members {
		if h == Codex && name != "hooks" && name != "description" {
			return fmt.Sprintf("%s reads nothing of a file that has %q beside its hooks", h.Title, name)
		}
	}
	return ""
}

// withoutComments is the text without comments, and with all of its commas.
func withoutComments(content []byte) []byte {
	v, err := hujson.Parse(append(bytes.Clone(content), '\n')) // behind a comment without a line end
	if err != nil {
		return content
	}
	for u := range v.All() {
		u.BeforeExtra = nil
		if u.AfterExtra != nil {
			u.AfterExtra = hujson.Extra{} // a comma stands behind it
		}
		switch composite := u.Value.(type) {
		case *hujson.Object:
			composite.AfterExtra = nil
		case *hujson.Array:
			composite.AfterExtra = nil
		}
	}
	return v.Pack()
}

// A Place is where a host looks for its settings.
type Place struct {
	User    string // the host's folder of the user
	Project string // the project

	// Read reads a file. Its error is fs.ErrNotExist where there is nothing of that name.
	Read func(path string) ([]byte, error)
}

// Uncalled says why the host calls none of the hooks of ours that a file has, or "", and of
// what else there is doubt. The file has all of the names.
func (h *Host) Uncalled(p Place, names []string, hooks []Hook) (why string, doubts []string) {
	for _, k := range hooks {
		if k.Beside != "" && k.Event == h.Before {
			return fmt.Sprintf("the hook of %s has %s, and setup writes no such thing", k.Event, k.Beside), nil
		}
	}
	switch h {
	case ClaudeCode:
		return p.claude(), nil
	case Gemini:
		return p.gemini(names, hooks)
	case Codex:
		return p.codex(names, hooks)
	}
	return "", nil
}

func (p Place) claude() string {
	own := filepath.Join(p.Project, ClaudeCode.Dir)
	files := []string{filepath.Join(own, "settings.local.json"), filepath.Join(own, ClaudeCode.File), filepath.Join(p.User, ClaudeCode.File)}
	if file, off, _ := p.first(ClaudeCode, files, "disableAllHooks"); off {
		return file + " has disableAllHooks"
	}
	return ""
}

func (p Place) gemini(names []string, hooks []Hook) (why string, doubts []string) {
	files := []string{filepath.Join(p.Project, Gemini.Dir, Gemini.File), filepath.Join(p.User, Gemini.File)}
	if file, on, said := p.first(Gemini, files, "hooksConfig", "enabled"); said && !on {
		return file + " switches hooks off", nil
	}
	for _, file := range files {
		disabled, _ := at(p.settings(Gemini, file), "hooksConfig", "disabled").([]any)
		for _, k := range hooks {
			if k.Event == Gemini.Before && slices.Contains(disabled, any(k.Command)) {
				return file + " disables this hook", nil
			}
		}
	}
	_, asks, said := p.first(Gemini, files[1:], "security", "folderTrust", "enabled")
	if said && !asks || !slices.Contains(names, files[0]) {
		return "", nil
	}
	var folders map[string]string
	file := filepath.Join(p.User, "trustedFolders.json")
	if b, err := p.Read(file); err == nil {
		json.Unmarshal(withoutComments(b), &folders) // what cannot be read trusts nothing
	}
	for folder, trust := range folders {
		if trust == "TRUST_PARENT" {
			folder = filepath.Dir(folder)
		} else if trust != "TRUST_FOLDER" {
			continue
		}
		if within(p.Project, folder) {
			return "", nil
		}
	}
	return "", []string{fmt.Sprintf("%s does not say that %s trusts this folder, and it runs a project's hooks in no other", file, Gemini.Title)}
}

func (p Place) exists(path string) bool {
	_, err := p.Read(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// settings are those of a file, by whatever type, or none where the host reads nothing of it.
func (p Place) settings(h *Host, file string) (s map[string]any) {
	content, err := p.Read(file)
	if err != nil || h.Unread(content) != "" || jsonv2.Unmarshal(withoutComments(content), &s, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return nil
	}
	return s
}

// at is what stands at a path in settings, or nil.
func at(s any, path ...string) any {
	for _, name := range path {
		members, _ := s.(map[string]any)
		s = members[name]
	}
	return s
}

// first is the first file that says yes or no at that path, and what it says.
func (p Place) first(h *Host, files []string, path ...string) (file string, says, said bool) {
	for _, file := range files {
		if says, said := at(p.settings(h, file), path...).(bool); said {
			return file, says, true
		}
	}
	return "", false, false
}

// codexConfig is what is read of Codex's config.toml.
type codexConfig struct {
	Features struct {
		Hooks *bool `toml:"hooks"`
		Old   *bool `toml:"codex_hooks"`
	} `toml:"features"`
	Projects map[string]struct {
		Trust string `toml:"trust_level"`
	} `toml:"projects"`
	Hooks struct {
		State map[string]struct {
			Enabled *bool  `toml:"enabled"`
			Trusted string `toml:"trusted_hash"`
		} `toml:"state"`
	} `toml:"hooks"`
}

func (p Place) codex(names []string, hooks []Hook) (why string, doubts []string) {
	file := filepath.Join(p.User, "config.toml")
	var c codexConfig
	if content, err := p.Read(file); err == nil {
		if err := toml.Unmarshal(content, &c); err != nil {
			return "", []string{fmt.Sprintf("%s cannot be read, so that nobody knows what it says of hooks: %v", file, err)}
		}
	}
	for _, on := range []*bool{c.Features.Hooks, c.Features.Old} {
		if on != nil && !*on {
			return file + " switches hooks off", nil
		}
	}
	if slices.ContainsFunc(names, func(name string) bool {
		return filepath.Dir(filepath.Dir(name)) == p.Project && filepath.Dir(name) != p.User
	}) {
		trusted := false
		for folder, project := range c.Projects {
			trusted = trusted || project.Trust == "trusted" && (folder == p.Project || within(p.Project, folder) && p.exists(filepath.Join(folder, ".git")))
		}
		if !trusted {
			return Codex.Title + " reads a project's hooks only when you have told it to trust the project, and " + file + " does not say so", nil
		}
	}
	for _, k := range hooks {
		if why := c.trusts(names, k); why != "" && k.Event == Codex.Before {
			return why, nil
		} else if why != "" {
			doubts = append(doubts, k.Event+": "+why)
		}
	}
	return "", doubts
}

// trusts says why Codex does not run a hook that it has found, or "".
func (c *codexConfig) trusts(names []string, k Hook) string {
	for _, name := range names {
		state, ok := c.Hooks.State[fmt.Sprintf("%s:%s:%d:%d", name, snake(k.Event), k.place.group, k.place.hook)]
		switch {
		case !ok:
		case state.Enabled != nil && !*state.Enabled:
			return "it is switched off in Codex, under /hooks"
		case state.Trusted == k.codexHash():
			return ""
		case state.Trusted != "":
			return "it was changed since Codex was told to trust it: start Codex, and trust it under /hooks"
		}
	}
	return "Codex was not told to trust it: start Codex, and trust it under /hooks"
}

// codexHash is that by which Codex knows a hook again.
func (k Hook) codexHash() string {
	timeout := int64(k.Timeout.Seconds())
	if k.Timeout == 0 {
		timeout = int64(Codex.Default.Seconds())
	}
	one := map[string]any{"type": "command", "command": k.Command, "timeout": max(timeout, 1), "async": false}
	if k.status != "" {
		one["statusMessage"] = k.status
	}
	identity := map[string]any{"event_name": snake(k.Event), "hooks": []any{one}}
	if k.Matcher != "" {
		identity["matcher"] = k.Matcher
	}
	b, err := jsonv2.Marshal(identity, jsonv2.Deterministic(true))
	if err != nil {
		panic(err) // strings that were read from JSON
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(b))
}

// snake is an event's name as Codex has it in keys.
func snake(event string) string {
	var b strings.Builder
	for i, r := range event {
		if r >= 'A' && r <= 'Z' && i > 0 {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

// within reports whether a path is a folder or below it.
func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// Hooks are the hooks of ours that a file has, which is one of h.Files.
func (h *Host) Hooks(file string, content []byte) ([]Hook, error) {
	if filepath.Ext(file) != ".toml" {
		return h.Installed(content)
	}
	var c struct {
		Hooks map[string]any `toml:"hooks"`
	}
	if err := toml.Unmarshal(content, &c); err != nil {
		return nil, err
	}
	delete(c.Hooks, "state")
	b, err := json.Marshal(map[string]any{"hooks": c.Hooks})
	if err != nil || len(c.Hooks) == 0 {
		return nil, err
	}
	hooks, err := h.Installed(b)
	if err != nil {
		return nil, errors.New("its hooks: " + err.Error())
	}
	return hooks, nil
}
