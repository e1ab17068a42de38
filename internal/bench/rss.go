package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// runWatched runs a command and returns the most memory that it held, in MiB, as
// Linux's /proc tells while it runs; 0 elsewhere. What wait(2) tells is no use: a child's
// figure begins with its parent's, and the benchmark is bigger than the verifier.
func runWatched(cmd *exec.Cmd) (peakMiB float64, err error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			peakMiB = max(peakMiB, highWater(status))
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	err = cmd.Wait()
	close(ended)
	<-watched
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", cmd.Path, err, out.Bytes())
	}
	return peakMiB, nil
}

func highWater(status string) float64 {
	b, err := os.ReadFile(status)
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("VmHWM:"))
	digits, _, ok := bytes.Cut(rest, []byte(" kB"))
	kib, err := strconv.ParseFloat(string(bytes.TrimSpace(digits)), 64)
	if !ok || err != nil {
		return 0
	}
	return kib / 1024
}
