package dns

import "math/rand/v2"

// smallSet is up to where an answer is really shuffled; beyond, it walks the set from a random start in random steps,
// since only the first few dozen fit anyway.
const smallSet = 64

// order is a random order of the numbers below n, made without memory of that size.
type order struct {
	random    *rand.Rand
	n         int
	shuffled  [smallSet]uint8
	from, inc int
}

func (o *order) start(n int) {
	o.n = n
	if n > smallSet {
		o.from = o.random.IntN(n)
		for o.inc = 1 + o.random.IntN(n-1); gcd(o.inc, n) != 1; {
			o.inc = 1 + o.random.IntN(n-1)
		}
		return
	}
	for i := range n {
		o.shuffled[i] = uint8(i)
	}
	for i := n - 1; i > 0; i-- {
		j := o.random.IntN(i + 1)
		o.shuffled[i], o.shuffled[j] = o.shuffled[j], o.shuffled[i]
	}
}

func (o *order) at(i int) int {
	if o.n <= smallSet {
		return int(o.shuffled[i])
	}
	return (o.from + i*o.inc) % o.n
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
