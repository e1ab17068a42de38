package helm

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Name turns what somebody else calls a thing into a name (CheckName): other bytes are
// written as %XX, and what is too long is cut, with a hash of all of it. Two texts never
// become one name. An empty text stays empty.
func Name(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	out := b.String()
	if len(out) > MaxNameBytes {
		sum := sha256.Sum256([]byte(s))
		out = fmt.Sprintf("%s~%x", out[:MaxNameBytes-33], sum[:16])
	}
	return out
}
