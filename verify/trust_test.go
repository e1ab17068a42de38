package verify_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// vkey is a C2SP verifier key of a seed.
func vkey(name string, alg byte, seed byte) string {
	pub := ed25519.NewKeyFromSeed(append(make([]byte, 31), seed)).Public().(ed25519.PublicKey)
	raw := append([]byte{alg}, pub...)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return name + "+" + hex.EncodeToString(sum[:4]) + "+" + base64.StdEncoding.EncodeToString(raw)
}

var (
	logKey  = vkey("helm.test/log", 1, 1)
	logKey2 = vkey("helm.test/two", 1, 2)
	w1      = vkey("w1.example", 4, 3)
	w2      = vkey("w2.example", 4, 4)
	w3      = vkey("w3.example", 4, 5)
)

func TestTrust(t *testing.T) {
	for name, text := range map[string]string{
		"the least":      "quorum none\n",
		"one log":        "log " + logKey + "\nquorum none\n",
		"the spec's":     "# who\n\n \t# more\nlog\t" + logKey + " https://log.example/\nwitness X1 " + w1 + "\nwitness X2 " + w2 + " https://w.example\ngroup X 2 X1 X2\nwitness Y " + w3 + "\ngroup all all X Y\nquorum all\n",
		"any":            "witness X1 " + w1 + "\nwitness X2 " + w2 + "\ngroup X any X1 X2\nquorum X\n",
		"one witness":    "witness X1 " + w1 + "\nquorum X1\n",
		"quorum first":   "quorum none\nlog " + logKey + "\n",
		"bytes in names": "witness \xe2\x84\xaa " + w1 + "\nwitness K " + w2 + "\nquorum \xe2\x84\xaa\n",
		"another kind of log, whose name is no origin": "log " + vkey("Log.Example", 1, 9) + "\nquorum none\n",
	} {
		if _, err := verify.ParseTrust([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":                  "",
		"no quorum":                "log " + logKey + "\n",
		"two quorums":              "quorum none\nquorum none\n",
		"a quorum undefined":       "quorum X\n",
		"a quorum before":          "quorum X\nwitness X " + w1 + "\n",
		"no last newline":          "quorum none",
		"CRLF":                     "quorum none\r\n",
		"a control character":      "# \x01\nquorum none\n",
		"DEL":                      "# \x7f\nquorum none\n",
		"an unknown line":          "logs " + logKey + "\nquorum none\n",
		"threshold 0":              "witness X " + w1 + "\ngroup G 0 X\nquorum G\n",
		"threshold over":           "witness X " + w1 + "\ngroup G 2 X\nquorum G\n",
		"threshold signed":         "witness X " + w1 + "\ngroup G +1 X\nquorum G\n",
		"threshold hex":            "witness X " + w1 + "\ngroup G 0x1 X\nquorum G\n",
		"threshold huge":           "witness X " + w1 + "\ngroup G 99999999999999999999 X\nquorum G\n",
		"no members":               "group G any\nquorum G\n",
		"a member twice":           "witness X " + w1 + "\ngroup G 1 X X\nquorum G\n",
		"a member of two":          "witness X " + w1 + "\ngroup G any X\ngroup H any X\nquorum G\n",
		"a member undefined":       "group G any X\nwitness X " + w1 + "\nquorum G\n",
		"a member of itself":       "group G any G\nquorum G\n",
		"none as a member":         "group G any none\nquorum G\n",
		"none as a name":           "witness none " + w1 + "\nquorum none\n",
		"a name twice":             "witness X " + w1 + "\nwitness X " + w2 + "\nquorum X\n",
		"a group's name twice":     "witness X " + w1 + "\ngroup X any X\nquorum X\n",
		"a log twice":              "log " + logKey + "\nlog " + logKey + "\nquorum none\n",
		"a log's key twice":        "log " + logKey + "\nlog " + vkey("other", 1, 1) + "\nquorum none\n",
		"a witness's key twice":    "witness X " + w1 + "\nwitness Y " + vkey("other", 4, 3) + "\nquorum X\n",
		"a witness's key of a log": "witness X " + logKey + "\nquorum X\n",
		"a wrong hash":             "log " + strings.Replace(logKey, "+", "+0", 1) + "\nquorum none\n",
		"another name":             "log x" + logKey + "\nquorum none\n",
		"bad base64":               "log " + logKey + "=\nquorum none\n",
		"a word too many":          "log " + logKey + " a b\nquorum none\n",
		"a quorum of two":          "witness X " + w1 + "\nquorum X X\n",
	} {
		if _, err := verify.ParseTrust([]byte(text)); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
	tr := trust(t, "log "+logKey+"\nlog "+logKey2+"\nquorum none\n")
	if len(tr.Logs) != 2 || tr.Logs[1].Origin != "helm.test/two" {
		t.Errorf("read %+v", tr)
	}
}

func FuzzParseTrust(f *testing.F) {
	f.Add([]byte("log " + logKey + "\nquorum none\n"))
	f.Add([]byte("witness X1 " + w1 + "\nwitness X2 " + w2 + "\ngroup X 2 X1 X2\nquorum X\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := verify.ParseTrust(data)
		if err == nil && (tr.Quorum == "" || strings.Count("\n"+string(data), "quorum") == 0) {
			t.Errorf("accepted without a quorum: %q", data)
		}
	})
}
