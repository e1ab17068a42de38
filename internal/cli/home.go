package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
)

// A home is the folder HELM_HOME.
type home struct {
	dir       string
	store     string // URL, or "": log.db in the folder
	highWater string // path, or "": high-water in the folder

	passphraseFile string // of the key, or ""
}

// flags adds the flags that say where a log is and what opens its key.
func (h *home) flags(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&h.store, "store", "", "where the log is: sqlite:PATH; default: log.db in the home")
	f.StringVar(&h.highWater, "high-water", "", "the high-water file, best on another disk; default: high-water in the home")
	f.StringVar(&h.passphraseFile, "passphrase-file", "", "file with the passphrase of the log's key; default: HELM_PASSPHRASE, the passphrase itself")
	return c
}

// passphrase is that of the key, or nil where none was given.
func (h *home) passphrase() ([]byte, error) {
	env := os.Getenv("HELM_PASSPHRASE")
	switch {
	case h.passphraseFile != "" && env != "":
		return nil, usagef("a passphrase is in HELM_PASSPHRASE, and another in --passphrase-file %s: give one", h.passphraseFile)
	case h.passphraseFile != "":
		return readPassphrase(h.passphraseFile)
	case env != "":
		return checkPassphrase("HELM_PASSPHRASE", env)
	}
	return nil, nil
}

// readKey reads a key of this home. That a passphrase was given for one that is not
// encrypted is an error: somebody believes that it is.
func (h *home) readKey(path string) (keyFile, error) {
	k, err := readKey(path, h.passphrase)
	if err != nil || k.encrypted {
		return k, err
	}
	phrase, err := h.passphrase()
	if err == nil && phrase != nil {
		err = fmt.Errorf("a passphrase was given, and the key %s is not encrypted: encrypt it with `helm-ai-kernel keys passphrase --new-passphrase-file FILE`, or give none", path)
	}
	return k, err
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) key() string           { return h.path("key.pem") }
func (h *home) operatorToken() string { return h.path("operator.token") }
func (h *home) tokens() string        { return h.path("tokens.json") }
func (h *home) serverFile() string    { return h.path("server.json") }
func (h *home) trust() string         { return h.path("trust.policy") }
func (h *home) reserve() string       { return h.path("reserve") }

func (h *home) highWaterFile() string {
	if h.highWater != "" {
		return h.highWater
	}
	return h.path("high-water")
}

// database is the path of the SQLite file.
func (h *home) database() (string, error) {
	if h.store == "" {
		return h.path("log.db"), nil
	}
	path, ok := strings.CutPrefix(h.store, "sqlite:")
	if !ok || path == "" {
		return "", usagef("the store %q is not sqlite:PATH, the only kind that this version has", h.store)
	}
	return path, nil
}

// options are those of a log in this home. auditFor is ledger.Options.AuditFor.
func (h *home) options(key ed25519.PrivateKey, auditFor time.Duration) ledger.Options {
	return ledger.Options{Key: key, Now: time.Now, HighWater: h.highWaterFile(), Reserve: h.reserve(), AuditFor: auditFor}
}

// errNoLog is wrapped where a home has no log yet.
var errNoLog = errors.New("there is no log")

// open opens the log of this home. Key, log and high-water file belong together:
// where one is without the others it refuses. Where none is, errNoLog is wrapped.
func (h *home) open(ctx context.Context, auditFor time.Duration) (*ledger.Log, *sqlite.Store, error) {
	db, err := h.database()
	if err != nil {
		return nil, nil, err
	}
	if err := h.whole(db); err != nil {
		return nil, nil, err
	}
	store, err := sqlite.Open(db)
	if err != nil {
		return nil, nil, err
	}
	log, err := h.openStore(ctx, store, auditFor)
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	return log, store, nil
}

// whole returns an error unless all of the three files are there.
func (h *home) whole(db string) error {
	var missing, present []string
	for _, p := range []string{h.key(), db, h.highWaterFile()} {
		if _, err := os.Stat(p); err != nil {
			missing = append(missing, p)
		} else {
			present = append(present, p)
		}
	}
	switch {
	case len(present) == 0:
		return fmt.Errorf("%w in %s: serve makes one", errNoLog, h.dir)
	case len(missing) > 0:
		return fmt.Errorf("%s is there and %s is missing: key, log and high-water file belong together. Put back what was lost, "+
			"or begin a new log with `helm-ai-kernel log new`, which has a new key and a new name", strings.Join(present, ", "), strings.Join(missing, ", "))
	}
	return nil
}

// openOrCreate opens the log, or makes one on the very first start. The trust file
// and the operator's token are there when it returns.
func (h *home) openOrCreate(ctx context.Context, auditFor time.Duration) (log *ledger.Log, store *sqlite.Store, created bool, err error) {
	log, store, err = h.open(ctx, auditFor)
	if created = errors.Is(err, errNoLog); created {
		if err = h.create(ctx); err == nil {
			log, store, err = h.open(ctx, auditFor)
		}
	}
	if err != nil {
		return nil, nil, created, err
	}
	return log, store, created, h.furnish(log)
}

// create makes key, log and high-water file. The key comes first, and only where
// there is none: of two processes one goes on.
func (h *home) create(ctx context.Context) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("create home: %w", err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	if err := h.createKey(key); err != nil {
		return err
	}
	db, err := h.database()
	if err != nil {
		return err
	}
	store, err := sqlite.Open(db)
	if err != nil {
		return err
	}
	defer store.Close()
	return ledger.Create(ctx, store, ledger.NewOrigin("helm.local"), h.options(key, 0))
}

// createKey writes the first key, where there is none.
func (h *home) createKey(key ed25519.PrivateKey) error {
	phrase, err := h.passphrase()
	if err != nil {
		return err
	}
	b, err := marshalKey(key, phrase)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(h.key(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create key: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// furnish makes the trust file and the operator's token where they are missing.
// Neither is evidence: to take the operator's token away and start again is to
// change it.
func (h *home) furnish(log *ledger.Log) error {
	trust := "# Who signs the log of this machine (C2SP tlog-policy). Written by serve.\n" + trustLine(log.Origin(), log.Key()) + "quorum none\n"
	token, _ := access.New()
	for path, content := range map[string]string{h.trust(): trust, h.operatorToken(): token + "\n"} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := ledger.WriteFile(path, []byte(content)); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// private returns an error if others than the owner may read or change a file.
func private(what, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	if perm := st.Mode().Perm(); perm&0o077 != 0 && runtime.GOOS != "windows" { // which has no such bits
		return fmt.Errorf("the %s %s can be read or changed by others (mode %04o): chmod 600 it", what, path, perm)
	}
	return nil
}

// A serverFile says where this home's server listens.
type serverFile struct {
	Address string `json:"address"` // http://HOST:PORT or unix:PATH
	PID     int    `json:"pid"`
}

func (h *home) writeServer(s serverFile) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return ledger.WriteFile(h.serverFile(), append(b, '\n'))
}

func (h *home) readServer() (s serverFile, err error) {
	b, err := os.ReadFile(h.serverFile())
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// other is the server that server.json names, if it is not this process and answers
// for the log of that origin.
func (h *home) other(ctx context.Context, origin string) (serverFile, bool) {
	s, err := h.readServer()
	if err != nil || s.PID == os.Getpid() {
		return s, false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	base, err := address(s.Address)
	if err != nil {
		return s, false
	}
	resp, err := newClient(base).send(ctx, http.MethodGet, "/log/checkpoint", nil, nil)
	if err != nil {
		return s, false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return s, err == nil && strings.HasPrefix(string(b), origin+"\n")
}

// unused returns an error where a process works on this home's log. server.json
// names one server, and another process may have the database open without it.
func (h *home) unused() error {
	if s, err := h.readServer(); err == nil {
		return fmt.Errorf("a server of this home runs at %s (pid %d): stop it first. If it does not run any more, remove %s", s.Address, s.PID, h.serverFile())
	}
	db, err := h.database()
	if err != nil {
		return err
	}
	if _, err := os.Stat(db); err != nil {
		return nil // nothing to be moved or replaced
	}
	if sqlite.InUse(db) {
		return fmt.Errorf("another process has %s open: stop it first", db)
	}
	return nil
}

// readToken reads a file that holds one token.
func readToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	tok := strings.TrimSpace(string(b))
	if tok == "" || strings.ContainsAny(tok, " \t\r\n") {
		return "", fmt.Errorf("read token: %s does not hold one token", path)
	}
	return tok, nil
}
