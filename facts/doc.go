// Package facts reads what a call says: the commands of a shell line, paths, URLs
// and hosts. spec/facts.md is the specification.
//
// Every function is total and pure: any text has a result, the same on every
// machine, and nothing is looked up. What programs read differently is opaque: a
// guess would be right for one of them and an opening in the other.
package facts
