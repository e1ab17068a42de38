package mcp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A message is one JSON-RPC message as it came, and the members that say where it goes. Its
// bytes are passed on as they are: nothing is lost in reading and writing it again.
type message struct {
	raw    []byte
	rawID  jsontext.Value
	id     string // the id such that equal ids are equal texts; "" where there is none
	method string
	params jsontext.Value
	result jsontext.Value
	fault  jsontext.Value // the member error
}

// notification reports whether it is a request that awaits no answer.
func (m *message) notification() bool { return m.method != "" && m.rawID == nil }

// Client messages are read so that every reader reads them alike: what is decided is what the
// server is told. Server messages are passed on wherever their outer members are clear.
var (
	strict  = []jsontext.Options{}
	lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
)

// readMessage reads a message by JSON-RPC 2.0, of which only fromClient is held to have no
// other members.
func readMessage(raw []byte, fromClient bool) (*message, error) {
	m := &message{raw: raw}
	opts := lenient
	if fromClient {
		opts = strict
	}
	seen := map[string]bool{}
	version := ""
	err := members(raw, opts, func(name string, v jsontext.Value) (err error) {
		if seen[name] {
			return fmt.Errorf("there are two members %q", name)
		}
		seen[name] = true
		switch name {
		case "jsonrpc":
			version, err = text(name, v)
		case "id":
			m.rawID = v
			m.id, err = key(v)
		case "method":
			m.method, err = text(name, v)
			if m.method == "" && err == nil {
				err = errors.New("the method is empty")
			}
		case "params":
			m.params = v
		case "result":
			m.result = v
		case "error":
			m.fault = v
		default:
			if fromClient {
				err = fmt.Errorf("there is no member %.40q in JSON-RPC", name)
			}
		}
		return err
	})
	switch {
	case err != nil:
	case version != "2.0":
		err = fmt.Errorf("jsonrpc is %.10q and not 2.0", version)
	case m.method != "" && (m.result != nil || m.fault != nil):
		err = errors.New("it is both a request and an answer")
	case m.method == "" && (m.result != nil) == (m.fault != nil):
		err = errors.New("it is neither a request nor an answer")
	}
	return m, err
}

// members calls f for each member of an object, which must be all that there is. The values
// are parts of raw.
func members(raw []byte, opts []jsontext.Options, f func(name string, v jsontext.Value) error) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), opts...)
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadToken(); err != nil {
			return plain(err)
		}
		return errors.New("it is no JSON object")
	}
	dec.ReadToken()
	for dec.PeekKind() != '}' {
		t, err := dec.ReadToken()
		if err != nil {
			return plain(err)
		}
		name := t.String()
		v, err := dec.ReadValue()
		if err != nil {
			return plain(err)
		}
		end := dec.InputOffset()
		if err := f(name, raw[end-int64(len(v)):end:end]); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return plain(err)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

func plain(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
}

func text(what string, v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", fmt.Errorf("%s is no string", what)
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, plain(err))
	}
	return string(b), nil
}

// key is an id's text. Peers read and write numbers again, so 1.0 and 1e0 are 1; and some
// take "1" for it, so that is the same too.
func key(v jsontext.Value) (string, error) {
	s := string(v)
	switch v.Kind() {
	case 'n':
		return "", nil
	case '"':
		var err error
		if s, err = text("id", v); err != nil {
			return "", err
		}
		if n, err := strconv.ParseFloat(s, 64); err != nil || strings.Trim(s, "+-.eE0123456789") != "" || !whole(n) {
			return "s" + s, nil
		}
	case '0':
	default:
		return "", errors.New("id is neither a string nor a number")
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !whole(n) {
		return "", fmt.Errorf("id is %.40s: it must be a string, or a whole number that every reader reads alike", s)
	}
	return strconv.FormatInt(int64(n), 10), nil
}

func whole(n float64) bool { return n == math.Trunc(n) && math.Abs(n) < 1<<53 }
