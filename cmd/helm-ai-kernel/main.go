// Command helm-ai-kernel decides what an AI agent may do, and proves it afterwards.
package main

import (
	"os"

	"github.com/helm-ai-kernel/helm-ai-kernel/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
