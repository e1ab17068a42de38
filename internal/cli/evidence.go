package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

func (a *app) evidenceCmd() *cobra.Command {
	var agent, session, since, until, at, kept, out string
	var all, noStreamKey bool
	export := &cobra.Command{Use: "export --agent A [--session S] | --all", Short: "Write an EvidencePack", Args: exactly(0),
		Long: `Write an EvidencePack: what the log has of an agent, of one of its sessions, or
everything. It verifies offline, with helm-verify or "helm-ai-kernel verify". A name
that the log has nothing of gets no pack; one with nothing in the time that is asked
for gets a pack that proves that.

The pack holds the stream key, with which its reader can test guessed names of
agents and sessions against the leaves of others. --no-stream-key leaves it out: then
it is not proved that a name has only one stream.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all == (agent != "") {
				return usagef("evidence export needs --agent A, with or without --session S, or --all")
			}
			if session != "" && agent == "" {
				return usagef("--session is named with its --agent")
			}
			c, err := a.client(true)
			if err != nil {
				return err
			}
			streamKey, from := "", ""
			if noStreamKey {
				streamKey = "false"
			}
			if kept != "" {
				if from, err = keptSize(kept); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			resp, err := c.send(cmd.Context(), http.MethodGet, "/v1/evidence", values("agent", agent, "session", session, "all", flagValue(all),
				"since", since, "until", until, "at", at, "stream_key", streamKey, "consistency_from", from), nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			n, err := a.save(out, resp.Body)
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			if a.json {
				return a.printJSON(map[string]any{"file": out, "bytes": n})
			}
			if out != "-" {
				a.printf("%s: %d bytes\n", out, n)
			}
			return nil
		}}
	f := export.Flags()
	f.StringVar(&agent, "agent", "", "the agent")
	f.StringVar(&session, "session", "", "one session of the agent")
	f.BoolVar(&all, "all", false, "everything")
	f.StringVar(&since, "since", "", "only entries since this time, as in 2026-01-02T15:04:05.000000Z")
	f.StringVar(&until, "until", "", "only entries before this time")
	f.StringVar(&at, "at", "", "the log as it was at this size")
	f.StringVar(&kept, "since-checkpoint", "", "a checkpoint or receipt that an auditor kept: prove that the log is an extension of it")
	f.BoolVar(&noStreamKey, "no-stream-key", false, "leave the stream key out")
	f.StringVarP(&out, "output", "o", "evidence-pack.tar", "the file to write; - is standard output")
	cmds := group("evidence", "Hand evidence out", export)
	cmds.SuggestFor = []string{"pack", "export"}
	return cmds
}

// keptSize is the size of a checkpoint, or of the one in a receipt.
func keptSize(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := string(b)
	if env, eerr := receipt.ParseEnvelope([]byte(strings.TrimSuffix(text, "\n"))); eerr == nil {
		p, err := receipt.ParseProof(env.Proof)
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		text = p.Checkpoint
	}
	c, _, err := receipt.ParseCheckpoint(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return strconv.FormatUint(c.Size, 10), nil
}

// save copies to a file, which has its name only when it is whole.
func (a *app) save(path string, r io.Reader) (int64, error) {
	if path == "-" {
		return io.Copy(a.out, r)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(tmp.Name())
	w := io.Writer(tmp)
	if isTerminal(a.err) {
		w = io.MultiWriter(tmp, &progressWriter{to: a.err, next: time.Now().Add(time.Second)})
	}
	n, err := io.Copy(w, r)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return n, err
}

// progressWriter shows on a terminal how much came, once a second.
type progressWriter struct {
	to   io.Writer
	n    int64
	next time.Time
}

func (p *progressWriter) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(time.Second)
		fmt.Fprintf(p.to, "\r%d KiB", p.n>>10)
	}
	return len(b), nil
}

func (a *app) verifyCmd() *cobra.Command {
	return &cobra.Command{Use: "verify PACK | list PACK | receipt FILE | show PACK INDEX --PART", Short: "Say what a pack or a receipt proves, and what not",
		DisableFlagParsing: true, // helm-verify has the same command line
		RunE: func(cmd *cobra.Command, args []string) error {
			global := cmd.InheritedFlags() // and makes them known to environment
			if err := a.environment(cmd); err != nil {
				return err
			}
			code := verifycmd.Run(verifycmd.Command{Name: "helm-ai-kernel verify", Version: versionString(), Args: args, Stdout: a.out, Stderr: a.err,
				Flags: func(s *flag.FlagSet) {
					global.VisitAll(func(f *pflag.Flag) { s.Var(f.Value, f.Name, f.Usage) })
				},
				Help:         "  --home DIR               without --trust, its trust.policy is used where it is there\n",
				DefaultTrust: func() string { return (&home{dir: a.home}).trust() }})
			if code != exitDone {
				return &exitError{code, nil}
			}
			return nil
		}}
}

func (a *app) logCmd() *cobra.Command {
	var h home
	// open opens the log beside whatever server runs.
	open := func(ctx context.Context) (*ledger.Log, *sqlite.Store, error) {
		h.dir = a.home
		return h.open(ctx, -1)
	}
	check := &cobra.Command{Use: "check", SuggestFor: []string{"verify"}, Short: "Check every entry and every derived row", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		log, store, err := open(cmd.Context())
		if err == nil {
			defer store.Close()
			defer log.Close()
			var last time.Time
			err = log.Check(cmd.Context(), func(done, of uint64) {
				if isTerminal(a.err) && time.Since(last) > time.Second {
					last = time.Now()
					fmt.Fprintf(a.err, "\r%d of %d entries", done, of)
				}
			})
		}
		if a.json {
			out := map[string]any{"ok": err == nil}
			if err != nil {
				out["error"] = err.Error()
			} else {
				out["entries"] = log.Size()
			}
			if perr := a.printJSON(out); perr != nil {
				return perr
			}
			if err != nil {
				return &exitError{exitNo, nil}
			}
			return nil
		}
		if err == nil {
			a.printf("good: %d entries, their signatures, tree and derived rows, and the high-water file\n", log.Size())
		}
		return err
	}}
	renew := &cobra.Command{Use: "new", Short: "Begin a new log with a new key and a new origin", Args: exactly(0),
		Long: "Begin a new log with a new key and a new origin. What is there of the old one is moved\nto a folder beside it; nothing is deleted. Whoever verifies must be told the new key.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h.dir = a.home
			return a.newLog(cmd.Context(), &h)
		}}
	backup := &cobra.Command{Use: "backup FILE", Short: "Copy the log while it runs", Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		log, store, err := open(cmd.Context())
		if err != nil {
			return err
		}
		defer store.Close()
		defer log.Close()
		if err := store.Backup(cmd.Context(), args[0]); err != nil {
			return err
		}
		a.printf("%s: the log with at least %d entries. The key is not in it\n", args[0], log.Size())
		return nil
	}}
	restore := &cobra.Command{Use: "restore FILE", Short: "Put a backup back", Args: exactly(1),
		Long: `Put a backup back in place of the log; what was there is kept beside it. No server
may run. The backup is checked first.

A backup that is behind the high-water file is refused: receipts for the missing
entries are in others' hands, and going on from it would sign a second history. Put the
newest copy back, or keep the old one to read and begin a new log with "log new".`,
		RunE: func(cmd *cobra.Command, args []string) error {
			h.dir = a.home
			return a.restore(cmd.Context(), &h, args[0])
		}}
	return group("log", "Check, copy and begin logs", h.flags(check), h.flags(renew), h.flags(backup), h.flags(restore))
}

// newLog moves the old log away and makes a new one.
func (a *app) newLog(ctx context.Context, h *home) error {
	if err := h.unused(); err != nil {
		return err
	}
	db, err := h.database()
	if err != nil {
		return err
	}
	old := h.path("old-" + time.Now().UTC().Format("20060102T150405.000000Z"))
	moved := 0
	for _, p := range []string{h.key(), h.nextKey(), db, db + "-wal", db + "-shm", h.highWaterFile(), h.trust()} {
		if _, err := os.Stat(p); err != nil {
			continue
		}
		if moved == 0 {
			if err := os.MkdirAll(old, 0o700); err != nil {
				return err
			}
		}
		if err := os.Rename(p, filepath.Join(old, filepath.Base(p))); err != nil {
			return fmt.Errorf("move the old log away: %w", err)
		}
		moved++
	}
	if err := h.create(ctx); err != nil {
		return err
	}
	log, store, err := h.open(ctx, -1)
	if err != nil {
		return err
	}
	defer store.Close()
	defer log.Close()
	if err := h.furnish(log); err != nil {
		return err
	}
	if moved > 0 {
		a.printf("the old log is in %s\n", old)
	}
	a.printf("new log %s\nfingerprint %x\n%s\n", log.Origin(), log.Fingerprint(), receipt.VKey(log.Origin(), log.Key()))
	return nil
}

// restore checks a backup against key and high-water file and puts it in place.
func (a *app) restore(ctx context.Context, h *home, file string) error {
	if err := h.unused(); err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return err
	}
	db, err := h.database()
	if err != nil {
		return err
	}
	// Checked and put in place as a copy: opening a database changes it.
	copied := db + ".restore"
	if err := copyFile(file, copied); err != nil {
		return err
	}
	defer func() {
		for _, p := range []string{copied, copied + "-wal", copied + "-shm"} {
			os.Remove(p)
		}
	}()
	store, err := sqlite.Open(copied)
	if err != nil {
		return err
	}
	log, err := h.openStore(ctx, store, 0)
	if err == nil {
		err = log.Close()
	}
	if err = errors.Join(err, store.Close()); err != nil {
		return fmt.Errorf("%s is not put back: %w", file, err)
	}
	before := db + ".before-" + time.Now().UTC().Format("20060102T150405.000000Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(db+suffix, before+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("move the log away: %w", err)
		}
	}
	if err := os.Rename(copied, db); err != nil {
		return fmt.Errorf("put the backup in place: %w", err)
	}
	a.printf("%s is in place; what was there is %s\n", file, before)
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
