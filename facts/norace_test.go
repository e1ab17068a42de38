//go:build !race

package facts

const raceFactor = 1
