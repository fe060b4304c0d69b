package simulate

import (
	"errors"
	"iter"
	"math/rand/v2"
)

// window bounds by how many places a delivery may be late.
const window = 16

// Faults are what goes wrong between Meta and a receiver. The same seed gives the
// same faults.
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
		held := heldDeliveries{yield: yield, byTurn: make(map[int][]sending)}
		turn := 0
		for body, err := range from {
			if errors.Is(err, ErrMalformed) || errors.Is(err, ErrIncomplete) {
				if !yield(sending{}, err) {
					return
				}
				continue
			}
			if err != nil {
				if held.release(turn + 2*window) {
					yield(sending{}, err)
				}
				return
			}
			s := sending{body: body, forged: forge.Float64() < f.BadSignatures}
			due := turn
			if f.OutOfOrder {
				due += order.IntN(window)
			}
			held.add(due, s)
			if twice.Float64() < f.Duplicates && !s.forged {
				s.duplicate = true
				held.add(due+1+twice.IntN(window), s)
			}
			if !held.release(turn) {
				return
			}
			turn++
		}
		held.release(turn + 2*window)
	}
}

// heldDeliveries are deliveries that are sent at a later turn.
type heldDeliveries struct {
	yield  func(sending, error) bool
	byTurn map[int][]sending
	next   int // the first turn that was not released
}

func (h *heldDeliveries) add(turn int, s sending) { h.byTurn[turn] = append(h.byTurn[turn], s) }

// release yields what is due at a turn and before. It reports whether more is
// wanted.
func (h *heldDeliveries) release(turn int) bool {
	for ; h.next <= turn; h.next++ {
		for _, s := range h.byTurn[h.next] {
			if !h.yield(s, nil) {
				return false
			}
		}
		delete(h.byTurn, h.next)
	}
	return true
}
