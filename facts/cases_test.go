package facts

import "testing"

type shellCase struct{ command string }

func readCases(t testing.TB) []shellCase { return nil }
