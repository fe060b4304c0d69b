// Package storetest is the conformance suite of queue.Store: whatever passes Run
// keeps the contract, as far as tests can show it.
//
// A random state machine does the same to the store and to a model of it, and
// compares the two after each step (machine.go, actions.go, model.go, states.go). Tables of
// cases show the same rules one at a time, so that a failure says which rule is
// broken. Most tests run in a bubble of testing/synctest, whose clock stands still
// while somebody works: a store must measure time with package time alone.
//
// What belongs to an engine is not tested here: damaged files, failing disks, the
// loss of power, and two identities that have the same hash.
package storetest

import (
	"errors"
	"flag"
	"os"
	"testing"
	"testing/synctest"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Opener opens one store, again and again.
type Opener struct {
	// Open opens the store. It is empty the first time. After it was closed, or
	// has crashed, it holds what it held before.
	Open func() (queue.Store, error)

	// Crash ends the store as if its process were killed: Open continues with
	// what is stored by then. It is optional; Close is used without it.
	Crash func(queue.Store) error
}

// Run runs the suite. newStore returns an Opener for a new store that may keep its
// files in the directory, which is empty, and removed after the store was closed.
// It is called from many goroutines.
//
// The random machine runs for longer with -rapid.checks and -rapid.steps.
func Run(t *testing.T, newStore func(dir string) Opener) {
	t.Run("random", func(t *testing.T) {
		t.Parallel()
		runMachine(t, newStore)
	})
	for name, test := range bubbleTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newStore(t.TempDir())
			synctest.Test(t, func(t *testing.T) { runTest(t, o, test) })
		})
	}
	for name, test := range concurrencyTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runTest(t, newStore(t.TempDir()), test)
		})
	}
}

// runTest runs a test with an open store, and checks the store when it is done.
func runTest(t *testing.T, o Opener, test func(*testing.T, *store)) {
	s := &store{t: t, opener: o}
	s.open()
	defer func() {
		s.check()
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}()
	test(t, s)
}

// The random machine makes fewer runs than rapid does by default, but longer ones:
// it takes a while until something was accepted, leased, settled and requeued.
// Arguments of the command and variables of the environment count more.
func init() {
	for _, f := range []struct{ name, value, variable string }{
		{"rapid.checks", "8", "RAPID_CHECKS"},
		{"rapid.steps", "100", "RAPID_STEPS"},
	} {
		if _, set := os.LookupEnv(f.variable); set {
			continue
		}
		if err := flag.Set(f.name, f.value); err != nil {
			panic(err)
		}
	}
}

// check lets a store that can do so check its file.
func (s *store) check() {
	s.t.Helper()
	m, ok := s.Store.(queue.Maintainer)
	if !ok {
		return
	}
	if err := m.Check(s.t.Context()); err != nil && !errors.Is(err, queue.ErrClosed) {
		s.t.Errorf("the check of the store says: %v", err)
	}
}
