// Package sshsign makes the signatures that package sshsig verifies, with any key that
// golang.org/x/crypto/ssh can use: out of a file, or in an ssh-agent.
package sshsign

import (
	"crypto/rand"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
)

// Sign signs the message in that namespace.
func Sign(namespace string, message []byte, signer ssh.Signer) (string, error) {
	data := sshsig.ToSign(namespace, "sha512", message)
	var sig *ssh.Signature
	var err error
	if a, ok := signer.(ssh.AlgorithmSigner); ok && signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		sig, err = a.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = signer.Sign(rand.Reader, data)
	}
	if err != nil {
		return "", err
	}
	return sshsig.Armour(namespace, signer.PublicKey().Marshal(), ssh.Marshal(sig)), nil
}
