package receipt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A Leaf is the small public line of an entry, which the log's tree is built of.
// It is a pure function of the statement: a verifier rebuilds it.
type Leaf struct {
	Kind      Kind
	Statement Hash // SHA-256 of the statement's bytes
	Streams   []LeafStream
}

// A LeafStream is a leaf's place in one stream.
type LeafStream struct {
	ID  Hash
	Seq uint64
}

const leafPrefix = "helm/leaf/v1 "

// MaxLeafBytes bounds a leaf: two streams, and the longest kind.
const MaxLeafBytes = 256

// Leaf is the leaf of the statement s whose bytes are statement.
func (s *Statement) Leaf(statement []byte) Leaf {
	l := Leaf{Kind: s.Body.Kind(), Statement: sha256.Sum256(statement), Streams: make([]LeafStream, len(s.Streams))}
	for i, st := range s.Streams {
		l.Streams[i] = LeafStream{st.ID, st.Seq}
	}
	return l
}

// Marshal prints the leaf.
func (l Leaf) Marshal() []byte {
	b := make([]byte, 0, MaxLeafBytes)
	b = append(b, leafPrefix...)
	b = append(b, l.Kind...)
	b = append(b, '\n')
	b = base64.StdEncoding.AppendEncode(b, l.Statement[:])
	b = append(b, '\n')
	for _, st := range l.Streams {
		b = base64.StdEncoding.AppendEncode(b, st.ID[:])
		b = append(b, ' ')
		b = strconv.AppendUint(b, st.Seq, 10)
		b = append(b, '\n')
	}
	return b
}

// Hash is the leaf's RFC 6962 leaf hash. In hex it is the receipt's id.
func (l Leaf) Hash() Hash { return LeafHash(l.Marshal()) }

// LeafHash is RFC 6962's hash of a leaf's bytes: SHA-256(0x00 || leaf).
func LeafHash(leaf []byte) Hash { return Hash(tlog.RecordHash(leaf)) }

// ParseLeaf reads what Marshal prints, and nothing else. The kind may be one that
// this version does not know.
func ParseLeaf(data []byte) (Leaf, error) {
	l, err := parseLeaf(string(data))
	if err != nil {
		return Leaf{}, fmt.Errorf("parse leaf: %w", err)
	}
	return l, nil
}

func parseLeaf(s string) (l Leaf, err error) {
	if len(s) > MaxLeafBytes {
		return l, fmt.Errorf("it has %d bytes: at most %d are allowed", len(s), MaxLeafBytes)
	}
	head, rest, ok := strings.Cut(s, "\n")
	kind, ok2 := strings.CutPrefix(head, leafPrefix)
	if !ok || !ok2 || kind == "" || strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz") != "" {
		return l, fmt.Errorf("its first line is not %qKIND", leafPrefix)
	}
	l.Kind = Kind(kind)
	digest, rest, _ := strings.Cut(rest, "\n")
	if err := DecodeBase64(l.Statement[:], digest); err != nil {
		return l, fmt.Errorf("statement: %w", err)
	}
	for rest != "" {
		var line string
		if line, rest, ok = strings.Cut(rest, "\n"); !ok {
			return l, errors.New("it does not end in a newline")
		}
		id, seq, _ := strings.Cut(line, " ")
		var st LeafStream
		if err := DecodeBase64(st.ID[:], id); err != nil {
			return l, fmt.Errorf("stream id: %w", err)
		}
		if st.Seq, err = parseNumber(seq); err != nil || st.Seq == 0 {
			return l, fmt.Errorf("stream seq %q is not a number from 1", seq)
		}
		l.Streams = append(l.Streams, st)
	}
	if len(l.Streams) == 0 || len(l.Streams) > 2 {
		return l, fmt.Errorf("it has %d streams: 1 or 2 are allowed", len(l.Streams))
	}
	return l, nil
}

// A StreamKey turns the names of agents and sessions into stream ids. Whoever
// holds it can test guessed names against leaves; genesis commits to it.
type StreamKey [32]byte

// Hash is what genesis commits to.
func (k *StreamKey) Hash() Hash { return sha256.Sum256(k[:]) }

// Agent is the id of an agent's stream.
func (k *StreamKey) Agent(agent string) Hash { return k.id(StreamAgent, agent) }

// Session is the id of the stream of an agent's session.
func (k *StreamKey) Session(agent, session string) Hash {
	return k.id(StreamSession, agent, session)
}

// Control is the id of the control stream.
func (k *StreamKey) Control() Hash { return k.id(StreamControl) }

// id is HMAC-SHA-256 under the stream key of the compact JSON array of the names.
func (k *StreamKey) id(names ...string) Hash {
	b := []byte(`["helm/stream/v1"`)
	for _, n := range names {
		b = append(b, ',')
		b = strictjson.AppendString(b, n)
	}
	b = append(b, ']')
	m := hmac.New(sha256.New, k[:])
	m.Write(b)
	return Hash(m.Sum(nil))
}
