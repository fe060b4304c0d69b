package simulate

import (
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/event/sample"
)

// Deliveries are the bodies of a run, one after the other. Errors that wrap
// ErrMalformed or ErrIncomplete stand for what is left out; any other ends them.
type Deliveries = iter.Seq2[[]byte, error]

// Sample makes up deliveries without end, none of which is like another.
type Sample struct {
	// Seed decides about all that is made up.
	Seed uint64

	// Now tells the time, shortly before which the events of a delivery happen.
	// If it is nil, the first happens at a fixed time, so that the deliveries
	// depend on nothing but Seed.
	Now func() time.Time

	// Fields are the fields that the events are of, in turns. Fields of both
	// families never share a delivery. At least one is needed.
	Fields []string

	// Batch is the number of updates in a delivery. Default: 1.
	Batch int

	// TestButton makes the deliveries of the Test button in Meta's App
	// Dashboard, all of whose events are alike.
	TestButton bool
}

// Deliveries returns the deliveries. Each iteration gives the same.
func (s Sample) Deliveries() Deliveries {
	return func(yield func([]byte, error) bool) {
		if len(s.Fields) == 0 {
			yield(nil, errors.New("no field to make up events of"))
			return
		}
		g := sample.New(s.Seed)
		for turn := 0; ; turn++ {
			field := s.Fields[turn%len(s.Fields)]
			if s.Now != nil {
				// An event takes up to two seconds, the sending up to one.
				g.Time = s.Now().Add(-time.Duration(2*max(s.Batch, 1)+1) * time.Second)
			}
			var body []byte
			if s.TestButton {
				body = g.TestButton(field)
			} else {
				body = g.Delivery(sample.StyleOf(field), max(s.Batch, 1), s.family(turn)...)
			}
			if !yield(body, nil) {
				return
			}
		}
	}
}

// family returns the fields that share a delivery with the one whose turn it
// is, which comes first.
func (s Sample) family(turn int) []string {
	at := turn % len(s.Fields)
	style := sample.StyleOf(s.Fields[at])
	turned := slices.Concat(s.Fields[at:], s.Fields[:at])
	return slices.DeleteFunc(turned, func(field string) bool { return sample.StyleOf(field) != style })
}

// Repeat returns body as a delivery, again and again.
func Repeat(body []byte) Deliveries {
	return func(yield func([]byte, error) bool) {
		for yield(body, nil) {
		}
	}
}

// Take returns the first n deliveries, and the errors between them.
func Take(from Deliveries, n int) Deliveries {
	return func(yield func([]byte, error) bool) {
		if n <= 0 {
			return
		}
		taken := 0
		for body, err := range from {
			if err == nil {
				taken++
			}
			if !yield(body, err) || taken == n {
				return
			}
		}
	}
}
