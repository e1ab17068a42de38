package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A Trust says who may sign: a C2SP tlog-policy. It is what an auditor brings; it
// is never learnt from the evidence.
type Trust struct {
	Logs   []TrustedLog
	Quorum string // the name of the witness or group that must have cosigned, or "none"
}

// A TrustedLog is the key of one log.
type TrustedLog struct {
	Origin string
	Key    ed25519.PublicKey
}

// Limits of a trust file.
const (
	MaxTrustBytes   = 256 << 10
	maxTrustDefined = 1024 // witnesses and groups
)

// noQuorum is the predefined name of the quorum that asks for no witness.
const noQuorum = "none"

// ParseTrust reads a trust file by the rules of C2SP tlog-policy, all of them.
func ParseTrust(data []byte) (*Trust, error) {
	if len(data) > MaxTrustBytes {
		return nil, fmt.Errorf("trust file: it has %d bytes: at most %d are allowed", len(data), MaxTrustBytes)
	}
	if n := len(data); n > 0 && data[n-1] != '\n' {
		return nil, errors.New("trust file: its last line does not end in a newline")
	}
	p := trustParser{defined: map[string]bool{}, member: map[string]bool{}, keys: map[string]bool{}}
	for n := 1; len(data) > 0; n++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		if err := p.line(string(line)); err != nil {
			return nil, fmt.Errorf("trust file: line %d: %w", n, err)
		}
	}
	if p.trust.Quorum == "" {
		return nil, fmt.Errorf("trust file: there is no quorum line: write %q to ask for no witness", "quorum none")
	}
	return &p.trust, nil
}

type trustParser struct {
	trust   Trust
	defined map[string]bool // witnesses and groups share one namespace
	member  map[string]bool // names that a group lists: each at most once
	keys    map[string]bool // "log" or "witness" and the underlying key
}

func (p *trustParser) line(line string) error {
	for i := 0; i < len(line); i++ {
		if c := line[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return fmt.Errorf("the control character 0x%02x is not allowed", c)
		}
	}
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 || words[0][0] == '#' {
		return nil
	}
	args := words[1:]
	switch words[0] {
	case "log":
		if len(args) != 1 && len(args) != 2 {
			return errors.New("a log line is: log VKEY [URL]")
		}
		return p.log(args[0])
	case "witness":
		if len(args) != 2 && len(args) != 3 {
			return errors.New("a witness line is: witness NAME VKEY [URL]")
		}
		if err := p.witness(args[1]); err != nil {
			return err
		}
		return p.define(args[0])
	case "group":
		if len(args) < 3 {
			return errors.New("a group line is: group NAME all|any|NUMBER and its members")
		}
		return p.group(args[0], args[1], args[2:])
	case "quorum":
		if len(args) != 1 {
			return errors.New("a quorum line is: quorum NAME")
		}
		if p.trust.Quorum != "" {
			return errors.New("there is a second quorum line")
		}
		if args[0] != noQuorum && !p.defined[args[0]] {
			return fmt.Errorf("the quorum %q is not defined on a line before", args[0])
		}
		p.trust.Quorum = args[0]
		return nil
	}
	return fmt.Errorf("%q is not one of log, witness, group, quorum", words[0])
}

// log reads a log's key. The logs of this project sign with Ed25519; a key of
// another kind cannot be theirs, but is not an error.
func (p *trustParser) log(vkey string) error {
	_, alg, key, err := splitVKey(vkey)
	if err != nil {
		return err
	}
	if err := p.once("log", key); err != nil {
		return err
	}
	if alg != algEd25519 {
		return nil
	}
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%q is not an Ed25519 key: it has %d bytes", vkey, len(key))
	}
	// A name that cannot be an origin of this project's logs names another log.
	if origin, pub, err := receipt.ParseVKey(vkey); err == nil {
		p.trust.Logs = append(p.trust.Logs, TrustedLog{origin, pub})
	}
	return nil
}

// The algorithm bytes of C2SP signed-note that logs and witnesses use.
const (
	algEd25519     = 1
	algCosignature = 4
	algMLDSA       = 6
)

func (p *trustParser) witness(vkey string) error {
	_, alg, key, err := splitVKey(vkey)
	if err != nil {
		return err
	}
	if alg != algCosignature && alg != algMLDSA {
		return fmt.Errorf("%q is not the key of a witness: its algorithm is %d, that of C2SP tlog-cosignature is %d", vkey, alg, algCosignature)
	}
	if alg == algCosignature && len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%q is not the key of a witness: it has %d bytes", vkey, len(key))
	}
	return p.once("witness", key)
}

// once refuses the same underlying key under two names.
func (p *trustParser) once(kind, key string) error {
	if p.keys[kind+key] {
		return fmt.Errorf("this %s's key stands on a line before", kind)
	}
	p.keys[kind+key] = true
	return nil
}

func (p *trustParser) define(name string) error {
	if name == noQuorum {
		return fmt.Errorf("the name %q is predefined", name)
	}
	if p.defined[name] {
		return fmt.Errorf("the name %q is defined on a line before", name)
	}
	if len(p.defined) == maxTrustDefined {
		return fmt.Errorf("there are more than %d witnesses and groups", maxTrustDefined)
	}
	p.defined[name] = true
	return nil
}

func (p *trustParser) group(name, threshold string, members []string) error {
	k := 0
	switch threshold {
	case "any":
		k = 1
	case "all":
		k = len(members)
	default:
		var err error
		if k, err = strconv.Atoi(threshold); err != nil || strings.Trim(threshold, "0123456789") != "" {
			return fmt.Errorf("the threshold %q is not all, any or a decimal number", threshold)
		}
	}
	if k < 1 || k > len(members) {
		return fmt.Errorf("the threshold %d is not from 1 to %d, the number of members", k, len(members))
	}
	for _, m := range members {
		if !p.defined[m] {
			return fmt.Errorf("the member %q is not defined on a line before", m)
		}
		if p.member[m] {
			return fmt.Errorf("the name %q is a member already: each can be one once", m)
		}
		p.member[m] = true
	}
	return p.define(name)
}

// splitVKey reads a C2SP signed-note verifier key, NAME+HASH+KEY, whose hash it
// checks.
func splitVKey(vkey string) (name string, alg byte, key string, err error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, b64, ok := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || name == "" || err != nil || len(raw) < 2 {
		return "", 0, "", fmt.Errorf("%q is not a verifier key (NAME+HASH+KEY)", vkey)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	if hash != hex.EncodeToString(sum[:4]) {
		return "", 0, "", fmt.Errorf("%q is not a verifier key: its hash does not fit its name and key", vkey)
	}
	return name, raw[0], string(raw[1:]), nil
}
