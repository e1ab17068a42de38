// Package decimal holds non-negative exact decimals, in which budgets are counted.
// It is pure.
package decimal

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// Limits of a decimal: at most so many digits before and behind the point.
const (
	MaxWhole  = 30
	MaxPlaces = 18
)

// A Decimal is an exact number from 0 to below 10^30 with at most 18 places. The zero
// Decimal is 0.
type Decimal struct{ units *big.Int } // of 10^-18, or nil

var (
	errNumber   = errors.New("it is not a decimal number")
	errNegative = errors.New("it is negative")
	errPlaces   = errors.New("it has over 18 places behind the point")
	errLarge    = errors.New("it is 10^30 or more")

	limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(MaxWhole+MaxPlaces), nil)
	one   = new(big.Int).Exp(big.NewInt(10), big.NewInt(MaxPlaces), nil)
)

// One is 1.
func One() Decimal { return Decimal{one} }

// Parse reads a number as JSON writes it, by its value: 1.50, 15e-1 and 1.5 are one
// decimal.
func Parse(s string) (Decimal, error) {
	s, negative := strings.CutPrefix(s, "-")
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e := s[i+1:]
		if e != "" && (e[0] == '+' || e[0] == '-') {
			e = e[1:]
		}
		if !digits(e) {
			return Decimal{}, errNumber
		}
		exponent, _ = strconv.Atoi(s[i+1:]) // out of range it is the nearest int
		exponent = max(min(exponent, 1<<30), -1<<30)
		mantissa = s[:i]
	}
	whole, places, point := strings.Cut(mantissa, ".")
	if !digits(whole) || point && !digits(places) || len(whole) > 1 && whole[0] == '0' {
		return Decimal{}, errNumber
	}
	all := strings.TrimLeft(whole+places, "0")
	exponent -= len(places)
	for strings.HasSuffix(all, "0") {
		all, exponent = all[:len(all)-1], exponent+1
	}
	switch {
	case all == "":
		return Decimal{}, nil // of whatever sign and exponent
	case negative:
		return Decimal{}, errNegative
	case exponent < -MaxPlaces:
		return Decimal{}, errPlaces
	case exponent > MaxWhole || len(all)+exponent > MaxWhole:
		return Decimal{}, errLarge
	}
	units, _ := new(big.Int).SetString(all+strings.Repeat("0", exponent+MaxPlaces), 10)
	return Decimal{units}, nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (d Decimal) int() *big.Int {
	if d.units == nil {
		return new(big.Int)
	}
	return d.units
}

// Add is the sum, or false where it is 10^30 or more.
func (d Decimal) Add(e Decimal) (Decimal, bool) {
	sum := new(big.Int).Add(d.int(), e.int())
	return Decimal{sum}, sum.Cmp(limit) < 0
}

// Cmp is -1, 0 or 1.
func (d Decimal) Cmp(e Decimal) int { return d.int().Cmp(e.int()) }

// String writes the decimal without needless zeros; Parse reads it back.
func (d Decimal) String() string {
	s := d.int().String()
	if len(s) <= MaxPlaces {
		s = strings.Repeat("0", MaxPlaces+1-len(s)) + s
	}
	places := strings.TrimRight(s[len(s)-MaxPlaces:], "0")
	s = s[:len(s)-MaxPlaces]
	if places != "" {
		s += "." + places
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Decimal) UnmarshalText(b []byte) (err error) {
	*d, err = Parse(string(b))
	return err
}
