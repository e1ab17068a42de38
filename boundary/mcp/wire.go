package mcp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// MaxMessage bounds a message: many times what a call's arguments may be, because a result
// may be larger than what is recorded of it.
const MaxMessage = 32 << 20

// Lines carries messages a line each, as the stdio transport does.
type Lines struct {
	r  *bufio.Reader
	w  io.WriteCloser
	mu sync.Mutex // held while a line is written
}

// NewLines reads and writes lines.
func NewLines(r io.Reader, w io.WriteCloser) *Lines {
	return &Lines{r: bufio.NewReaderSize(r, 64<<10), w: w}
}

// Read returns a line that is not empty. What stands behind the last line's end was cut off,
// and is no message.
func (l *Lines) Read() ([]byte, error) {
	for {
		var line []byte
		for {
			part, err := l.r.ReadSlice('\n')
			if len(line)+len(part) > MaxMessage {
				return nil, fmt.Errorf("a message has more than %d bytes", MaxMessage)
			}
			line = append(line, part...)
			if err == nil {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// Write writes a message as one line: line ends in it are blanks between its tokens, and no
// others can be in JSON.
func (l *Lines) Write(message []byte) error {
	line := make([]byte, 0, len(message)+1)
	line = append(line, message...)
	for i, c := range line {
		if c == '\n' || c == '\r' {
			line[i] = ' '
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.w.Write(append(line, '\n'))
	return err
}

// Close closes the writing side.
func (l *Lines) Close() error { return l.w.Close() }
