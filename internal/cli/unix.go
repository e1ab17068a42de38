package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// unixScheme is before the path of a socket, where an address is asked for.
const unixScheme = "unix:"

// unixURL is the address that requests over a socket have. The fragment, which is never
// sent, is the socket's path.
func unixURL(path string) *url.URL {
	return &url.URL{Scheme: "http", Host: "localhost", Fragment: path}
}

// dial connects to a server.
func dial(base *url.URL) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 5 * time.Second}
	if base.Fragment == "" {
		return d.DialContext
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", base.Fragment)
	}
}

// addressOf is how clients name a listener.
func addressOf(a net.Addr) string {
	if a.Network() == "unix" {
		return unixScheme + a.String()
	}
	return "http://" + a.String()
}

// A socket takes its path away when it is closed, if the path is still its own.
type socket struct {
	*net.UnixListener
	path string
	made fs.FileInfo
}

func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if now, serr := os.Lstat(s.path); serr == nil && os.SameFile(now, s.made) {
		os.Remove(s.path)
	}
	return err
}

// listenUnix listens on a socket that its owner and group may connect to. It takes the place
// of one that nobody listens on any more, and of nothing else: it is put there when it is ready.
func listenUnix(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there, and is no socket: choose another path with --listen", path)
	} else if err == nil {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s is taken: another server runs there. Stop it, or choose another path with --listen", path)
		}
	}
	var id [4]byte
	rand.Read(id[:])
	fresh := fmt.Sprintf("%s.%x", path, id)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	s := &socket{UnixListener: ln, path: path}
	err = os.Chmod(fresh, 0o660)
	if err == nil {
		s.made, err = os.Lstat(fresh)
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), ln.Close(), os.Remove(fresh))
	}
	return s, nil
}
