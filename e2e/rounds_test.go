package e2e

import (
	"iter"
	"time"
)

// rounds counts to all, or, on a busy machine, until a minute has passed and there
// were a few: the tests that repeat themselves are to end in time there too.
func rounds(all, few int) iter.Seq[int] {
	return func(yield func(int) bool) {
		began := time.Now()
		for n := 0; n < all && (n < few || time.Since(began) < time.Minute); n++ {
			if !yield(n) {
				return
			}
		}
	}
}
