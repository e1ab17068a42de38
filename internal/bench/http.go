package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"net"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
)

// A loadResult is what the load, a second process, saw.
type loadResult struct {
	PerSecond float64
	P50, P99  time.Duration
}

// beLoad puts n calls to a server and prints a loadResult.
func beLoad(server string, callers, n int) error {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers, MaxIdleConns: callers}}
	took := make([][]time.Duration, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	began := time.Now()
	for w := range callers {
		wg.Go(func() {
			for i := range n / callers {
				at := time.Now()
				if errs[w] = ask(c, server, w, i); errs[w] != nil {
					return
				}
				took[w] = append(took[w], time.Since(at))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	all := slices.Concat(took...)
	return json.NewEncoder(os.Stdout).Encode(loadResult{float64(len(all)) / elapsed.Seconds(), quantile(all, 0.5), quantile(all, 0.99)})
}

func ask(c *http.Client, server string, caller, n int) error {
	call := benchCall(caller, n)
	body := fmt.Sprintf(`{"agent":%q,"session":%q,"call_id":%q,"tool":%q,"arguments":%s}`, call.Agent, call.Session, call.CallID, call.Tool, call.Arguments)
	resp, err := c.Post(server+"/v1/decisions", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(b, []byte(`"verdict":"ALLOW"`))) {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return err
}

// serve answers HTTP for a system.
func serve(s *system) (address string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	tokens, err := access.Open(filepath.Join(filepath.Dir(s.path), "tokens.json"))
	if err != nil {
		return "", nil, err
	}
	api := httpapi.New(httpapi.Config{Kernel: s.kernel, Tokens: tokens, Anonymous: true})
	srv := &http.Server{Handler: api.Handler()}
	go srv.Serve(ln)
	return "http://" + ln.Addr().String(), func() { srv.Close() }, nil
}

// load runs the load as a second process.
func runLoad(ctx context.Context, address string, callers, n int) (r loadResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, self, "-load", address, "-callers", strconv.Itoa(callers), "-n", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	return r, err
}

func overHTTP(ctx context.Context, dir string) error {
	s, err := open(ctx, filepath.Join(dir, "http"))
	if err != nil {
		return err
	}
	defer s.close()
	address, stop, err := serve(s)
	if err != nil {
		return err
	}
	defer stop()
	got, err := median(func() (float64, error) {
		r, err := runLoad(ctx, address, 64, *count)
		return r.PerSecond, err
	})
	if err != nil {
		return err
	}
	row("decisions over HTTP, 64 callers, client on the same cores", fmt.Sprintf("%.0f/s", got), ">= 5000/s, aim 8000", got >= 5000)
	p50, p99, err := oneCaller(ctx, address)
	if err != nil {
		return err
	}
	row("one caller over HTTP, p50", p50.String(), "<= 1.2ms, aim 0.8", p50 <= 1200*time.Microsecond)
	row("one caller over HTTP, p99", p99.String(), "<= 6ms, aim 4", p99 <= 6*time.Millisecond)
	return nil
}

// oneCaller is the median of the runs' p50 and p99.
func oneCaller(ctx context.Context, address string) (p50, p99 time.Duration, err error) {
	var a, b []time.Duration
	for range *runs {
		r, err := runLoad(ctx, address, 1, 2000)
		if err != nil {
			return 0, 0, err
		}
		a, b = append(a, r.P50), append(b, r.P99)
	}
	return quantile(a, 0.5).Round(10 * time.Microsecond), quantile(b, 0.5).Round(10 * time.Microsecond), nil
}
