module github.com/helm-ai-kernel/helm-ai-kernel

go 1.26.8

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	golang.org/x/mod v0.42.0 // indirect
)
