package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// hooks measures a whole hook process, from its start to its end, in front of a call of a
// shell under policies/coding-agent.toml: with a server, and over the log itself.
func hooks(ctx context.Context, dir string) error {
	program, policy := filepath.Join(dir, "helm-ai-kernel"), "policies/coding-agent.toml"
	start, err := times(func(int) error { return exec.CommandContext(ctx, program, "version").Run() })
	if err != nil {
		return err
	}
	info("the program started, to print its version", quantiles(start))

	home := filepath.Join(dir, "hook-server")
	serve := exec.CommandContext(ctx, program, "serve", "--policy", policy, "--listen", "127.0.0.1:0", "--home", home)
	if err := serve.Start(); err != nil {
		return err
	}
	defer serve.Wait()
	defer serve.Process.Kill()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(home, "server.json")); err == nil {
			break
		}
		if time.Since(began) > 10*time.Second {
			return errors.New("serve did not listen within 10 s")
		}
	}
	got, err := times(func(i int) error { return hook(ctx, program, i, "--home", home) })
	if err != nil {
		return err
	}
	row("hook, whole process, with a server", quantiles(got), "p50 <= 12 ms", quantile(got, 0.5) <= 12*time.Millisecond)

	home = filepath.Join(dir, "hook-embedded")
	if err := hook(ctx, program, -1, "--home", home, "--embedded", "--policy", policy); err != nil {
		return err
	}
	if got, err = times(func(i int) error { return hook(ctx, program, i, "--home", home, "--embedded") }); err != nil {
		return err
	}
	row("hook, whole process, embedded", quantiles(got), "p50 <= 25 ms", quantile(got, 0.5) <= 25*time.Millisecond)
	return nil
}

// times are of 50 calls for each of the runs.
func times(f func(i int) error) ([]time.Duration, error) {
	var all []time.Duration
	for i := range 50 * *runs {
		began := time.Now()
		if err := f(i); err != nil {
			return nil, err
		}
		all = append(all, time.Since(began))
	}
	return all, nil
}

func hook(ctx context.Context, program string, i int, args ...string) error {
	cmd := exec.CommandContext(ctx, program, append([]string{"hook", "claude-code"}, args...)...)
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"session_id":"s","cwd":"/srv/app","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls -la"},"tool_use_id":"t%d"}`, i))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("hook: %w: %s", err, out)
	}
	return nil
}
