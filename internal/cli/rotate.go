package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A change of keys goes in steps, each durable before the next:
//
//  1. key.pem.next is written: the next key, which signs nothing yet;
//  2. the log records the key entry in one transaction: now it is the log's key;
//  3. the high-water file and trust.policy follow;
//  4. key.pem.next takes the place of key.pem. The old key is gone.
//
// Whoever is killed before 2 leaves a home that goes on with the old key, and the
// next rotation makes another next key. Whoever is killed behind it leaves one whose
// next process, whichever it is, does the rest: the log says which key is its own.

func (h *home) nextKey() string { return h.path("key.pem.next") }

// lockKeys waits until no other process changes the keys of this home. A process
// that is killed holds no lock.
func (h *home) lockKeys() (unlock func(), err error) {
	return lockedfile.MutexAt(h.path("key.lock")).Lock()
}

// openStore opens the log in a store with the key that is its own.
func (h *home) openStore(ctx context.Context, store *sqlite.Store, auditFor time.Duration) (*ledger.Log, error) {
	if _, err := os.Stat(h.nextKey()); err == nil {
		unlock, err := h.lockKeys()
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	log, _, err := h.openLocked(ctx, store, auditFor)
	return log, err
}

// openLocked is openStore for one who holds the lock. finished says that a change of
// keys was interrupted, and is done now.
func (h *home) openLocked(ctx context.Context, store *sqlite.Store, auditFor time.Duration) (log *ledger.Log, finished bool, err error) {
	path := h.key()
	if finished, err = h.interrupted(ctx, store); err != nil {
		return nil, false, err
	} else if finished {
		path = h.nextKey()
	}
	key, err := h.readKey(path)
	if err != nil {
		return nil, false, err
	}
	if log, err = ledger.Open(ctx, store, h.options(key.PrivateKey, auditFor)); err != nil {
		return nil, false, err
	}
	if finished {
		if err = h.settle(ctx, log); err != nil {
			log.Close()
			return nil, false, err
		}
	}
	return log, finished, nil
}

// interrupted reports whether the next key is the log's already.
func (h *home) interrupted(ctx context.Context, store *sqlite.Store) (bool, error) {
	next, err := publicKey(h.nextKey())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("the next key, of a change of keys: %w: move it away", err)
	}
	active, err := ledger.ActiveKey(ctx, store)
	return active.Equal(next), err
}

// settle does steps 3 and 4. The high-water file, where it is the old key's yet, is
// good, and the log writes it within a second.
func (h *home) settle(ctx context.Context, log *ledger.Log) error {
	var keys []ledger.LogKey
	err := log.View(ctx, func(v *ledger.View) (err error) { keys, err = v.Keys(); return err })
	if err != nil {
		return err
	}
	if err := h.replaceTrust(log.Origin(), keys); err != nil {
		return fmt.Errorf("the log has its new key, and %s could not be changed: %w", h.trust(), err)
	}
	if err := ledger.Rename(h.nextKey(), h.key()); err != nil {
		return fmt.Errorf("the log has its new key, and %s could not be put in place: %w", h.nextKey(), err)
	}
	return nil
}

func trustLine(origin string, key ed25519.PublicKey) string {
	return "log " + receipt.VKey(origin, key) + "\n"
}

// replaceTrust names the newest key in the trust file where it names the one before.
// Whoever has a stolen key must not be believed, so the old one is a comment. What
// else people wrote there stays.
func (h *home) replaceTrust(origin string, keys []ledger.LogKey) error {
	b, err := os.ReadFile(h.trust())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // serve writes one
	}
	if err != nil {
		return err
	}
	last := len(keys) - 1
	old, next := receipt.VKey(origin, keys[last-1].Key), receipt.VKey(origin, keys[last].Key)
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) < 2 || words[0] != "log" || words[1] != old {
			out.WriteString(line)
			continue
		}
		out.WriteString(strings.Replace(line, old, next, 1))
		fmt.Fprintf(&out, "# Entry %d replaced this key. Take the # away to accept packs and receipts from before, unless it was stolen.\n# log %s\n", keys[last].Since, old)
	}
	if out.String() == string(b) {
		return nil
	}
	return ledger.WriteFile(h.trust(), []byte(out.String()))
}

// A rotation is what rotate did.
type rotation struct {
	origin  string
	keys    []ledger.LogKey // the new one is the last
	resumed bool            // the key was replaced before, and only the rest was done
}

// rotate replaces the log's key, or finishes a change that was interrupted.
func (h *home) rotate(ctx context.Context) (r rotation, err error) {
	db, err := h.database()
	if err == nil {
		err = h.whole(db)
	}
	if err != nil {
		return r, err
	}
	unlock, err := h.lockKeys()
	if err != nil {
		return r, err
	}
	defer unlock()
	store, err := sqlite.Open(db)
	if err != nil {
		return r, err
	}
	defer store.Close()
	log, resumed, err := h.openLocked(ctx, store, auditFor)
	if err != nil {
		return r, err
	}
	if !resumed {
		err = h.replaceKey(log)
		log.Close()
		if err != nil {
			return r, err
		}
		if log, _, err = h.openLocked(ctx, store, -1); err != nil {
			return r, fmt.Errorf("the log has its new key: %w", err)
		}
	}
	defer log.Close()
	r = rotation{origin: log.Origin(), resumed: resumed}
	err = log.View(ctx, func(v *ledger.View) (err error) { r.keys, err = v.Keys(); return err })
	return r, err
}

// replaceKey does steps 1 and 2. A next key that is there already was never the
// log's, and somebody may have read it since: it is not used.
func (h *home) replaceKey(log *ledger.Log) error {
	old, err := h.readKey(h.key())
	if err != nil {
		return err
	}
	var phrase []byte
	if old.encrypted {
		if phrase, err = h.passphrase(); err != nil {
			return err
		}
	}
	_, next, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	b, err := marshalKey(next, phrase)
	if err != nil {
		return err
	}
	if err := ledger.WriteFile(h.nextKey(), b); err != nil {
		return fmt.Errorf("write the next key: %w", err)
	}
	if _, err = log.Rotate(next, access.HomeOperator); err != nil && !errors.Is(err, ledger.ErrAborted) {
		return fmt.Errorf("%w: run this again, which finishes what was begun", err)
	}
	return err
}
