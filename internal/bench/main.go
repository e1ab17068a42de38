// Command bench prints the budgets of docs/performance.md beside what this machine
// reaches, each in the same run as its reference. This machine may be shared: every
// figure is a median of several runs.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/cli"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

var (
	runs  = flag.Int("runs", 3, "runs of each figure, of which the median is taken")
	count = flag.Int("n", 30_000, "decisions of a run with 64 callers")
	large = flag.Int("large", 1_000_000, "entries of the large log; 0: leave growth and the large pack out")
	only  = flag.String("only", "", "one part: in-process, http, mcp, policy, shell, disk, verify, binaries, hook or growth")
	load  = flag.String("load", "", "be the load: the server's address")
	asMCP = flag.Bool("mcp", false, "be an MCP server")
	who   = flag.Int("callers", 64, "callers of the load")
)

func main() {
	flag.Parse()
	if *load != "" {
		if err := beLoad(*load, *who, *count); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if *asMCP {
		if err := beMCP(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	debug.SetGCPercent(cli.GCPercent) // as serve does
	dir, err := os.MkdirTemp("", "helm-bench-*")
	if err == nil {
		defer os.RemoveAll(dir)
		err = bench(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
}

// row prints one line of the table.
func row(what, got, limit string, ok bool) {
	verdict := "ok"
	if !ok {
		verdict = "FALLS SHORT"
	}
	fmt.Printf("%-58s %-26s %-22s %s\n", what, got, limit, verdict)
}

func info(what, got string) { fmt.Printf("%-58s %s\n", what, got) }

func bench(ctx context.Context, dir string) error {
	fmt.Printf("%s %s/%s, %d processors, medians of %d runs\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), *runs)
	if err := machine(dir); err != nil {
		return err
	}
	fmt.Println()
	if err := build(dir); err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		run  func(context.Context, string) error
	}{{"in-process", inProcess}, {"http", overHTTP}, {"mcp", overMCP}, {"policy", policies}, {"shell", shell}, {"disk", disk}, {"verify", packs}, {"binaries", binaries}, {"hook", hooks}, {"growth", growth}} {
		if *only == "" || *only == p.name {
			if err := p.run(ctx, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// median is of runs calls.
func median(f func() (float64, error)) (float64, error) {
	var all []float64
	for range *runs {
		v, err := f()
		if err != nil {
			return 0, err
		}
		all = append(all, v)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

func machine(dir string) error {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return err
	}
	defer f.Close()
	var took []time.Duration
	for range 300 {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return err
		}
		if err := datasync(f); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	info("append of 4 KiB and fdatasync", quantiles(took))
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	msg := make([]byte, 1100)
	began := time.Now()
	for range 2000 {
		ed25519.Sign(key, msg)
	}
	info("Ed25519 sign, one core", fmt.Sprintf("%.1f us", float64(time.Since(began).Microseconds())/2000))
	sig := ed25519.Sign(key, msg)
	began = time.Now()
	for range 2000 {
		ed25519.Verify(key.Public().(ed25519.PublicKey), msg, sig)
	}
	info("Ed25519 verify, one core", fmt.Sprintf("%.1f us", float64(time.Since(began).Microseconds())/2000))
	return nil
}

func quantiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s", at(0.5), at(0.99))
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}

// bareLoop is the reference: 64 callers whose records of 1.1 KiB are signed,
// hashed, appended to a file and fsynced in groups, as plainly as can be.
func bareLoop(dir string, callers, n int) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return 0, err
	}
	type rec struct {
		body []byte
		done chan struct{}
	}
	queue := make(chan *rec, 4096)
	stopped := make(chan error, 1)
	go func() {
		for r := range queue {
			batch := []*rec{r}
			for more := true; more && len(batch) < ledger.MaxBatch; {
				select {
				case r, ok := <-queue:
					if more = ok; ok {
						batch = append(batch, r)
					}
				default:
					more = false
				}
			}
			out := make([][]byte, len(batch))
			var wg sync.WaitGroup
			workers := runtime.GOMAXPROCS(0)
			for w := range workers {
				wg.Go(func() {
					for i := w; i < len(batch); i += workers {
						sum := sha256.Sum256(batch[i].body)
						out[i] = append(append(batch[i].body[:len(batch[i].body):len(batch[i].body)], sum[:]...), ed25519.Sign(key, batch[i].body)...)
					}
				})
			}
			wg.Wait()
			var all []byte
			for _, o := range out {
				all = append(all, o...)
			}
			if _, err := f.Write(all); err != nil {
				stopped <- err
				return
			}
			if err := datasync(f); err != nil {
				stopped <- err
				return
			}
			for _, r := range batch {
				close(r.done)
			}
		}
		stopped <- nil
	}()
	began := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range n / callers {
				r := &rec{make([]byte, 1100), make(chan struct{})}
				queue <- r
				<-r.done
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	close(queue)
	return float64(n/callers*callers) / took.Seconds(), <-stopped
}

const benchPolicy = `[policy]
id = "bench"
version = 1
format = "helm.policy/v1"
mode = "enforce"

[[tool]]
name = "pay.transfer"
args = { amount = "int", to = "string", memo = "string?" }

[[rule]]
id = "small"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = "args.amount <= 1000"
`

// A system is a kernel over a log in a folder.
type system struct {
	log    *ledger.Log
	store  *sqlite.Store
	kernel *kernel.Kernel
	path   string
}

func open(ctx context.Context, dir string) (*system, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &system{path: filepath.Join(dir, "log.db")}
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	opts := ledger.Options{Key: key, Now: time.Now, HighWater: filepath.Join(dir, "high-water"), AuditFor: -1}
	var err error
	if s.store, err = sqlite.Open(s.path); err != nil {
		return nil, err
	}
	if there, err := ledger.Exists(ctx, s.store); err != nil {
		return nil, err
	} else if !there {
		if err := ledger.Create(ctx, s.store, "helm.bench/0", opts); err != nil {
			return nil, err
		}
	}
	if s.log, err = ledger.Open(ctx, s.store, opts); err != nil {
		return nil, err
	}
	s.kernel = kernel.New(s.log, time.Now)
	p, err := policy.Compile("bench.toml", []byte(benchPolicy))
	if err != nil {
		return nil, err
	}
	_, err = s.kernel.Activate(ctx, p, "operator:bench")
	return s, err
}

func (s *system) close() error {
	err := s.log.Close()
	if serr := s.store.Close(); err == nil {
		err = serr
	}
	return err
}

// benchCall is a call with about 200 bytes of arguments.
func benchCall(caller, n int) helm.Call {
	return helm.Call{Agent: fmt.Sprintf("agent-%d", caller%8), Session: fmt.Sprintf("session-%d", caller), CallID: fmt.Sprintf("call-%d-%d-%d", caller, n, time.Now().UnixNano()),
		Tool: "pay.transfer", Arguments: []byte(benchArguments(n)), Principal: helm.PrincipalNone, Boundary: "bench"}
}

func benchArguments(n int) string {
	return fmt.Sprintf(`{"amount":%d,"to":"acct_%06d","memo":"invoice %09d for services rendered in the month of January, to be paid within thirty days of receipt by the customer named on the back"}`, n%1000, n, n)
}

// decideAll makes n decisions from that many callers.
func (s *system) decideAll(ctx context.Context, callers, n int) (float64, error) {
	began := time.Now()
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range n / callers {
				if _, err := s.kernel.Decide(ctx, benchCall(c, i)); err != nil {
					errs[c] = err
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(n/callers*callers) / time.Since(began).Seconds(), nil
}

func inProcess(ctx context.Context, dir string) error {
	s, err := open(ctx, filepath.Join(dir, "in-process"))
	if err != nil {
		return err
	}
	defer s.close()
	var bare []float64
	got, err := median(func() (float64, error) {
		b, err := bareLoop(dir, 64, *count)
		if err != nil {
			return 0, err
		}
		bare = append(bare, b)
		return s.decideAll(ctx, 64, *count)
	})
	if err != nil {
		return err
	}
	slices.Sort(bare)
	ref := bare[len(bare)/2]
	info("bare group-commit append-fsync-sign loop, 64 callers", fmt.Sprintf("%.0f/s", ref))
	row("decisions in process, 64 callers", fmt.Sprintf("%.0f/s = %.2f of the loop", got, got/ref), ">= 0.35, aim 0.6", got/ref >= 0.35)
	return nil
}
