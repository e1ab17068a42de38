package hook

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Calls are the calls that run, of hosts that give them no ids: each has a file whose name
// is the id that it was given before, so that its outcome finds it. Nothing made of what the
// host tells alone would do: an agent that runs its tests a second time makes the same call,
// and it is another one.
//
// Dir is a folder of the user's. Who can write there can mix up the outcomes of calls, and
// can let none be decided otherwise.
type Calls struct{ Dir string }

// forgetAfter is when a session that never ended is forgotten.
const forgetAfter = 30 * 24 * time.Hour

// Begin gives the call an id of its own.
func (c Calls) Begin(e *Event) error {
	dir := c.session(e)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		c.sweep()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the call's id: %w", err)
	}
	nonce := make([]byte, 8)
	rand.Read(nonce)
	e.Call.CallID = fmt.Sprintf("%s%016x-%x", prefix(e), time.Now().UnixNano(), nonce)
	if err := os.WriteFile(filepath.Join(dir, e.Call.CallID), nil, 0o600); err != nil {
		return fmt.Errorf("keep the call's id: %w", err)
	}
	return nil
}

// Drop forgets a call that does not run.
func (c Calls) Drop(e *Event) { os.Remove(filepath.Join(c.session(e), e.Call.CallID)) }

// End gives an outcome the id of the call that it is of: of calls that are the same in all
// that the host tells, the last that began, because one before it may never have run.
func (c Calls) End(e *Event) error {
	files, err := os.ReadDir(c.session(e))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find the call's id: %w", err)
	}
	for _, f := range slices.Backward(files) {
		if strings.HasPrefix(f.Name(), prefix(e)) && os.Remove(filepath.Join(c.session(e), f.Name())) == nil {
			e.Call.CallID = f.Name()
			return nil
		}
	}
	return errors.New("no call like this is known to have been allowed")
}

// Forget forgets a session.
func (c Calls) Forget(e *Event) error { return os.RemoveAll(c.session(e)) }

func (c Calls) session(e *Event) string {
	sum := sha256.Sum256([]byte(e.Call.Session))
	return filepath.Join(c.Dir, hex.EncodeToString(sum[:16]))
}

func (c Calls) sweep() {
	sessions, _ := os.ReadDir(c.Dir)
	for _, s := range sessions {
		if info, err := s.Info(); err == nil && time.Since(info.ModTime()) > forgetAfter {
			os.RemoveAll(filepath.Join(c.Dir, s.Name()))
		}
	}
}

func prefix(e *Event) string {
	sum := sha256.Sum256([]byte(e.Match))
	return hex.EncodeToString(sum[:8]) + "-"
}

// match is what a host tells of a call both before and after: its tool and its arguments, in
// whatever order their members come.
func match(tool string, arguments json.RawMessage, more ...string) (string, error) {
	v := jsontext.Value(slices.Clone(arguments))
	if err := v.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		return "", err
	}
	return strings.Join(append([]string{tool, string(v)}, more...), "\n"), nil
}
