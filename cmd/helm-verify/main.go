// Helm-verify says what an EvidencePack or a receipt proves, and what it does not:
// see spec/verify.md. It reads files and nothing else.
package main

import (
	"os"
	"runtime/debug"

	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

func main() {
	os.Exit(verifycmd.Run(verifycmd.Command{
		Name:    "helm-verify",
		Version: version(),
		Args:    os.Args[1:],
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	}))
}

// version is what the go command wrote into the program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
