// Package commit gathers what many goroutines want stored at the same time into
// batches, so that a batch shares one fsync.
package commit

import (
	"errors"
	"runtime"
	"sync"
)

// Group commits items in batches, as many at a time as it was made for. While batches are
// under way, items gather for the next one: the slower the disk, the larger the batches. A Group has no goroutine of its own and needs no closing.
type Group[T any] struct {
	apply func([]T) error

	mu   sync.Mutex // guards next
	next *batch[T]

	turns chan struct{} // has a token of each who applies a batch
}

type batch[T any] struct {
	items []T
	done  chan struct{}
	err   error
}

// NewGroup returns a Group that commits batches by apply, which stores all
// items or returns an error. It is never called twice at the same time.
func NewGroup[T any](apply func([]T) error) *Group[T] {
	return NewConcurrentGroup(1, apply)
}

// NewConcurrentGroup returns a Group that commits up to limit batches at the same time, so
// that one is worked on while another waits for a disk or a network.
func NewConcurrentGroup[T any](limit int, apply func([]T) error) *Group[T] {
	return &Group[T]{apply: apply, turns: make(chan struct{}, limit)}
}

var errPanicked = errors.New("the commit of this batch panicked")

// Do returns after item was committed, together with others, or with the error
// that its batch ended with.
func (g *Group[T]) Do(item T) error {
	g.mu.Lock()
	b := g.next
	leads := b == nil
	if leads {
		b = &batch[T]{done: make(chan struct{}), err: errPanicked}
		g.next = b
	}
	b.items = append(b.items, item)
	g.mu.Unlock()
	if leads {
		g.lead(b)
	}
	<-b.done
	return b.err
}

// lead waits for its turn and applies b, with all that joined it meanwhile.
func (g *Group[T]) lead(b *batch[T]) {
	g.turns <- struct{}{}
	defer func() { <-g.turns }()
	// Those whom the batch before has just released are about to join.
	runtime.Gosched()
	g.mu.Lock()
	g.next = nil
	g.mu.Unlock()
	defer close(b.done)
	b.err = g.apply(b.items)
}
