// Helm-verify says what an EvidencePack or a receipt proves, and what it does not:
// see spec/verify.md. It reads files and nothing else.
package main

import (
	"os"

	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

func main() {
	os.Exit(verifycmd.Run(verifycmd.Command{
		Name:   "helm-verify",
		Args:   os.Args[1:],
		Stdout: os.Stdout,
		Stderr: os.Stderr,
	}))
}
