package simulate

import (
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
)

// window is how many deliveries later than its turn one may come.
const window = 16

// Faults are what does not go smoothly between Meta and a receiver. The same
// seed gives the same faults.
type Faults struct {
	// Seed decides which deliveries are affected.
	Seed uint64

	// Duplicates is the share of deliveries, from 0 to 1, that are sent twice,
	// although the first was acknowledged.
	Duplicates float64

	// OutOfOrder sends deliveries up to a few places later than their turn.
	OutOfOrder bool

	// BadSignatures is the share of deliveries, from 0 to 1, that are signed
	// with another secret. These must be refused.
	BadSignatures float64
}

// sending is one delivery that is to be sent.
type sending struct {
	body      []byte
	forged    bool
	duplicate bool // of one that was sent before
}

// apply returns what is sent of the deliveries, and in which order.
func (f Faults) apply(from Deliveries) iter.Seq2[sending, error] {
	return func(yield func(sending, error) bool) {
		// Each kind of fault has its own source of chance, so that one does
		// not depend on whether there are others.
		twice := rand.New(rand.NewPCG(f.Seed, 1))
		forge := rand.New(rand.NewPCG(f.Seed, 2))
		order := rand.New(rand.NewPCG(f.Seed, 3))
		var held queue
		turn := 0
		for body, err := range from {
			if errors.Is(err, ErrMalformed) || errors.Is(err, ErrIncomplete) {
				if !yield(sending{}, err) {
					return
				}
				continue
			}
			if err != nil {
				held.release(turn+window, yield)
				yield(sending{}, err)
				return
			}
			s := sending{body: body, forged: forge.Float64() < f.BadSignatures}
			due := turn
			if f.OutOfOrder {
				due += order.IntN(window)
			}
			held.hold(due, s)
			if twice.Float64() < f.Duplicates && !s.forged {
				s.duplicate = true
				held.hold(due+1+twice.IntN(window), s)
			}
			if !held.release(turn, yield) {
				return
			}
			turn++
		}
		held.release(turn+2*window, yield)
	}
}

// queue holds what is to be sent later, by turn.
type queue []held

type held struct {
	due int
	sending
}

func (q *queue) hold(due int, s sending) {
	at, _ := slices.BinarySearchFunc(*q, due+1, func(h held, due int) int { return h.due - due })
	*q = slices.Insert(*q, at, held{due, s})
}

// release gives away all that is due at a turn. It reports whether more is
// wanted.
func (q *queue) release(turn int, yield func(sending, error) bool) bool {
	for len(*q) > 0 && (*q)[0].due <= turn {
		s := (*q)[0].sending
		*q = (*q)[1:]
		if !yield(s, nil) {
			return false
		}
	}
	return true
}
