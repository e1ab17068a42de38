package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A key file holds one Ed25519 key in PEM: PKCS#8, which openssl reads, or, under a
// passphrase, OpenSSH's format, which ssh-keygen reads and changes.
const (
	plainKey     = "PRIVATE KEY"
	encryptedKey = "OPENSSH PRIVATE KEY"
)

// marshalKey prints a key file; a nil passphrase encrypts nothing.
func marshalKey(key ed25519.PrivateKey, passphrase []byte) ([]byte, error) {
	if passphrase == nil {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return pem.EncodeToMemory(&pem.Block{Type: plainKey, Bytes: der}), err
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "helm-ai-kernel", passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypt key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// A keyFile is a key as it was read.
type keyFile struct {
	ed25519.PrivateKey
	encrypted bool
}

// readKey reads a key file. passphrase is asked only where the key is encrypted, and
// says nil where none was given.
func readKey(path string, passphrase func() ([]byte, error)) (k keyFile, err error) {
	if err := private("key", path); err != nil {
		return k, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return k, fmt.Errorf("read key: %w", err)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != plainKey && block.Type != encryptedKey || len(rest) > 0 {
		return k, fmt.Errorf("the key %s is not one PEM block, PKCS#8 or OpenSSH's", path)
	}
	raw, err := ssh.ParseRawPrivateKey(b)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		k.encrypted = true
		phrase, perr := passphrase()
		if perr != nil {
			return k, perr
		}
		if phrase == nil {
			return k, fmt.Errorf("the key %s is encrypted: give its passphrase with --passphrase-file FILE, or in HELM_PASSPHRASE", path)
		}
		if raw, err = ssh.ParseRawPrivateKeyWithPassphrase(b, phrase); errors.Is(err, x509.IncorrectPasswordError) {
			return k, fmt.Errorf("the passphrase is not that of the key %s", path)
		}
	}
	switch raw := raw.(type) {
	case ed25519.PrivateKey:
		k.PrivateKey = raw
	case *ed25519.PrivateKey:
		k.PrivateKey = *raw
	}
	if err != nil || k.PrivateKey == nil {
		return k, fmt.Errorf("the key %s is not an Ed25519 key: is it damaged?", path)
	}
	// A public half that is another key's would give the private one away.
	if !bytes.Equal(k.PrivateKey, ed25519.NewKeyFromSeed(k.Seed())) {
		return k, fmt.Errorf("the key %s is damaged: its two halves do not belong together", path)
	}
	return k, nil
}

// publicKey is the public half of a key file. It is not encrypted, and nobody
// vouches for it.
func publicKey(path string) (ed25519.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw, err := ssh.ParseRawPrivateKey(b)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) && missing.PublicKey != nil {
		if pub, ok := missing.PublicKey.(ssh.CryptoPublicKey); ok {
			if pub, ok := pub.CryptoPublicKey().(ed25519.PublicKey); ok {
				return pub, nil
			}
		}
	}
	if key, ok := raw.(ed25519.PrivateKey); ok {
		return key.Public().(ed25519.PublicKey), nil
	}
	return nil, fmt.Errorf("%s is not an Ed25519 key", path)
}

const maxPassphrase = 1024

// readPassphrase reads a file that holds a passphrase in its only line.
func readPassphrase(path string) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() { // a pipe is the caller's own
		if err := private("passphrase file", path); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	return checkPassphrase(path, line)
}

func checkPassphrase(from, line string) ([]byte, error) {
	switch {
	case line == "":
		return nil, fmt.Errorf("the passphrase in %s is empty", from)
	case len(line) > maxPassphrase || strings.ContainsAny(line, "\r\n\x00"):
		return nil, fmt.Errorf("the passphrase in %s is not one line of at most %d bytes", from, maxPassphrase)
	}
	return []byte(line), nil
}
