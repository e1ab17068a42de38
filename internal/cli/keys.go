package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func (a *app) keysCmd() *cobra.Command {
	return group("keys", "Show, replace and encrypt the log's key", a.keysShowCmd(), a.keysRotateCmd(), a.keysPassphraseCmd())
}

// A keyAnswer is a key as commands print it.
type keyAnswer struct {
	KeyID string `json:"keyid"`
	VKey  string `json:"vkey"`
	Trust string `json:"trust"` // the line of a trust file
	Since uint64 `json:"since"` // the entry that brought it
}

func keyAnswers(origin string, keys []ledger.LogKey) (in keyAnswer, before []keyAnswer) {
	before = []keyAnswer{}
	for _, k := range keys {
		v := receipt.VKey(origin, k.Key)
		before = append(before, keyAnswer{receipt.KeyID(k.Key), v, "log " + v, k.Since})
	}
	last := len(keys) - 1
	return before[last], before[:last]
}

func (a *app) keysShowCmd() *cobra.Command {
	var h home
	var format string
	show := &cobra.Command{Use: "show", Short: "Print the log's public key, since when it signs, and those that it replaced", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		h.dir = a.home
		log, store, err := h.open(cmd.Context(), -1)
		if err != nil {
			return err
		}
		defer store.Close()
		defer log.Close()
		var keys []ledger.LogKey
		if err := log.View(cmd.Context(), func(v *ledger.View) (err error) { keys, err = v.Keys(); return err }); err != nil {
			return err
		}
		key, before := keyAnswers(log.Origin(), keys)
		switch format {
		case "pem":
			_, err = a.out.Write(receipt.PublicPEM(log.Key()))
			return err
		case "vkey":
			a.printf("%s\n", key.VKey)
			return nil
		case "":
		default:
			return usagef("the format %q is not pem or vkey", format)
		}
		fp := fmt.Sprintf("%x", log.Fingerprint())
		if a.json {
			return a.printJSON(struct {
				Origin      string `json:"origin"`
				Fingerprint string `json:"fingerprint"`
				keyAnswer
				Replaced []keyAnswer `json:"replaced"`
			}{log.Origin(), fp, key, before})
		}
		rows := [][]string{{"origin", log.Origin()}, {"fingerprint", fp}, {"keyid", key.KeyID}, {"since", fmt.Sprintf("entry %d", key.Since)}, {"trust", key.Trust}}
		for i, k := range before {
			rows = append(rows, []string{"replaced", fmt.Sprintf("by entry %d: %s", keys[i+1].Since, k.KeyID)}, []string{"", k.Trust})
		}
		a.table(rows)
		return nil
	}}
	show.Flags().StringVar(&format, "format", "", "pem, for openssl; vkey, for trust files")
	return h.flags(show)
}

func (a *app) keysRotateCmd() *cobra.Command {
	var h home
	return h.flags(&cobra.Command{Use: "rotate", Short: "Replace the log's key by a new one",
		Long: `Replace the log's key by a new one. The log stays the same: an entry says so, which
both keys sign. What is recorded from then on is signed by the new key alone.

The old key is deleted, for nothing is signed with it any more; copies of it, as in a
backup of the home, are yours to delete. The home's trust file then names the new key
in place of the old one. A server that runs holds the old key: it stops, says so, and
must be started again.`,
		Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
			h.dir = a.home
			running, unnamed := h.readServer() // before it ends, and says so no more
			r, err := h.rotate(cmd.Context())
			if err != nil {
				return err
			}
			key, before := keyAnswers(r.origin, r.keys)
			old := before[len(before)-1]
			if a.json {
				return a.printJSON(struct {
					keyAnswer
					Replaced keyAnswer `json:"replaced"`
					Resumed  bool      `json:"resumed"`
				}{key, old, r.resumed})
			}
			if r.resumed {
				a.printf("a change of keys that was interrupted is finished\n")
			}
			a.printf("entry %d replaced the key %s, which is deleted here\n", key.Since, old.KeyID)
			a.printf("the key is now    %s\n", key.KeyID)
			a.printf("tell verifiers    %s\n", key.Trust)
			a.printf("in place of       %s\n", old.Trust)
			if unnamed == nil {
				fmt.Fprintf(a.err, "the server at %s (pid %d), if it runs, holds the old key: it stops, and must be started again\n", running.Address, running.PID)
			}
			return nil
		}})
}

func (a *app) keysPassphraseCmd() *cobra.Command {
	var h home
	var file string
	var remove bool
	c := &cobra.Command{Use: "passphrase --new-passphrase-file FILE | --remove", Short: "Encrypt the log's key, change its passphrase or remove it",
		Long: `Encrypt the log's key under the passphrase in a file, change its passphrase, or remove
it. The one that it has is given with --passphrase-file, or in HELM_PASSPHRASE. An
encrypted key is in OpenSSH's format, which ssh-keygen reads too.`,
		Args: exactly(0), RunE: func(*cobra.Command, []string) error {
			if remove == (file != "") {
				return usagef("keys passphrase needs --new-passphrase-file FILE, or --remove")
			}
			h.dir = a.home
			var phrase []byte
			var err error
			if !remove {
				if phrase, err = readPassphrase(file); err != nil {
					return err
				}
			}
			if err := h.encrypt(phrase); err != nil {
				return err
			}
			done := "is encrypted under the new passphrase"
			if remove {
				done = "has no passphrase any more"
			}
			if a.json {
				return a.printJSON(map[string]bool{"encrypted": !remove})
			}
			a.printf("%s %s\n", h.key(), done)
			return nil
		}}
	c.Flags().StringVar(&file, "new-passphrase-file", "", "file with the passphrase that the key shall have")
	c.Flags().BoolVar(&remove, "remove", false, "leave the key without a passphrase")
	return h.flags(c)
}

// encrypt writes the key under another passphrase, or under none where it is nil.
func (h *home) encrypt(phrase []byte) error {
	unlock, err := h.lockKeys()
	if err != nil {
		return err
	}
	defer unlock()
	if err := h.notInterrupted(); err != nil {
		return err
	}
	key, err := readKey(h.key(), h.passphrase)
	if err != nil {
		return err
	}
	b, err := marshalKey(key.PrivateKey, phrase)
	if err != nil {
		return err
	}
	return ledger.WriteFile(h.key(), b)
}

// notInterrupted returns an error where the log's key is key.pem.next.
func (h *home) notInterrupted() error {
	if _, err := os.Stat(h.nextKey()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := h.database()
	if err == nil {
		err = h.whole(db)
	}
	if err != nil {
		return err
	}
	store, err := sqlite.Open(db)
	if err != nil {
		return err
	}
	defer store.Close()
	interrupted, err := h.interrupted(context.Background(), store)
	if interrupted {
		return errors.New("a change of keys was interrupted: finish it first, with `helm-ai-kernel keys rotate`")
	}
	return err
}
