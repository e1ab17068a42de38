//go:build race

package facts

const raceFactor = 20 // the detector makes everything slower
