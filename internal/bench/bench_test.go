package main

import "testing"

// BenchmarkDecide is decisions in process from 64 callers: profile it.
func BenchmarkDecide(b *testing.B) {
	s, err := open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	b.ResetTimer()
	if _, err := s.decideAll(b.Context(), 64, max(b.N, 64)); err != nil {
		b.Fatal(err)
	}
}
