package mcp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// endFor is how long a server has to end after its input ended, and again after SIGTERM.
const endFor = 5 * time.Second

// NewSession is a name for a session that no other has.
func NewSession() string { return "mcp-" + rand.Text() }

// A Process is a server that was started, and speaks over its standard input and output.
type Process struct {
	*Lines
	cmd    *exec.Cmd
	out    *os.File
	ended  chan struct{} // closed when the process ended
	err    error         // then
	ending sync.Once
}

// Start starts a server. Its standard error goes to stderr.
func Start(args []string, stderr io.Writer) (*Process, error) {
	p := &Process{cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Stderr = stderr
	p.cmd.WaitDelay = time.Second // of a grandchild that holds standard error
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// A pipe of our own: what the process said last can be read after it ended.
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout = w
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("the MCP server cannot be started: %w", err)
	}
	p.out = out
	p.Lines = NewLines(out, in)
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
		// A grandchild may hold its output, and say no more.
		out.SetReadDeadline(time.Now().Add(time.Second))
	}()
	return p, nil
}

// Read is Lines.Read; the end of the process is the end of what it says.
func (p *Process) Read() ([]byte, error) {
	b, err := p.Lines.Read()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.EOF
	}
	return b, err
}

// Close ends the server's input, and the server itself where it does not end then.
func (p *Process) Close() error {
	go p.End()
	return nil
}

// End ends the server as the specification of the stdio transport says, and returns how it
// ended.
func (p *Process) End() error {
	p.ending.Do(func() {
		p.Lines.Close()
		for _, s := range []os.Signal{syscall.SIGTERM, os.Kill} {
			select {
			case <-p.ended:
				return
			case <-time.After(endFor):
				p.cmd.Process.Signal(s)
			}
		}
	})
	<-p.ended
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}
