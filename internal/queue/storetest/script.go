package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// Script is a fixed sequence of changes, for tests in which system calls of a store
// fail or its process is killed. Follow runs it, in a process of its own; Verify
// looks at what that left behind.
type Script struct {
	// Open opens the store.
	Open func() (queue.Store, error)

	// Dir is where Follow writes the ledger: a line for each step once the store
	// has acknowledged it. When that write is what kills the process, it ends
	// between a commit and its answer.
	Dir string

	// GiveUp ends the script at the first step that fails.
	GiveUp bool

	// Pause is how long the store may refuse everything after a failure.
	Pause time.Duration
}

// Ledger is the name of the file in Dir that tells what was acknowledged.
const Ledger = "ledger"

// End is how a process ended that followed a script.
type End string

// The ends of a script.
const (
	Complete End = "complete" // each step was done, perhaps after a while
	GaveUp   End = "gave up"  // the store was closed after the first failure
	Killed   End = "killed"
)

// Steps returns how many steps the script has: each is one commit.
func Steps() int { return len(script()) }

// Follow runs the script. Each step must succeed at last, and until it does, the
// store must hold what it held before.
func (s Script) Follow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime.LockOSThread() // strace counts calls by thread
		ledger, err := os.OpenFile(filepath.Join(s.Dir, Ledger), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer ledger.Close()
		a := &actor{store: &store{t: t}, script: s, leased: make(map[string]*queue.Event)}
		a.again("open", func() (err error) {
			a.Store, err = s.Open()
			return err
		}, nil)
		defer func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}()
		m := newModel()
		for _, step := range script() {
			if s.GiveUp {
				if step.do(a) != nil {
					return
				}
			} else {
				before := m.outline()
				a.again(step.name, func() error { return step.do(a) }, func() error { return a.unchanged(before) })
			}
			step.apply(m)
			if is := a.outline(); is != m.outline() {
				t.Fatalf("after %s the store holds\n%s\nwant\n%s", step.name, is, m.outline())
			}
			if _, err := fmt.Fprintln(ledger, step.name); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if maintainer, ok := a.Store.(queue.Maintainer); ok {
			a.again("check", func() error { return maintainer.Check(t.Context()) }, nil)
		}
	})
}

// Verify checks the store that Follow left behind. What the ledger acknowledges
// must be there. The step that a kill interrupted may be, but no other.
func (s Script) Verify(t *testing.T, end End) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, Ledger))
	if err != nil {
		t.Fatal(err)
	}
	steps := script()
	acknowledged := strings.Count(string(text), "\n")
	if end == Complete && acknowledged != len(steps) {
		t.Errorf("%d of %d steps are done", acknowledged, len(steps))
	}
	m := newModel()
	m.join(queue.Consumer{Name: queue.DefaultConsumer}) // as runTest does
	for _, step := range steps[:acknowledged] {
		step.apply(m)
	}
	runTest(t, Opener{Open: s.Open}, func(t *testing.T, s *store) {
		s.check()
		is := s.outline()
		if end == Killed && acknowledged < len(steps) && is != m.outline() {
			steps[acknowledged].apply(m)
		}
		if is != m.outline() {
			t.Errorf("after %d steps the store holds\n%s\nwant\n%s", acknowledged, is, m.outline())
		}
		s.verifyDuplicates(m, steps)
	})
}

// verifyDuplicates checks that exactly what was stored is a duplicate.
func (s *store) verifyDuplicates(m *model, steps []change) {
	s.t.Helper()
	var all []queue.Record
	known := make(map[string]bool)
	for _, step := range steps {
		for _, r := range step.records {
			if !known[r.Identity] {
				known[r.Identity] = true
				all = append(all, r)
			}
		}
	}
	// The clock of the script began long ago.
	duplicates, err := s.Accept(s.t.Context(), all, queue.Admission{Dedupe: 100 * 365 * 24 * time.Hour})
	if err != nil {
		s.t.Fatal(err)
	}
	for i, r := range all {
		_, seen := m.seen[r.DuplicateKey()]
		if duplicate := duplicates != nil && duplicates[i]; duplicate != seen {
			s.t.Errorf("%s is a duplicate: %t, want %t", r.Identity, duplicate, seen)
		}
	}
}

// actor follows a script.
type actor struct {
	*store
	script Script
	leased map[string]*queue.Event // by identity
}

// tries is how often something is tried again that failed.
const tries = 20

// again does something until it succeeds. After each failure it checks that the
// store is unchanged, which may fail, too.
func (a *actor) again(name string, do, unchanged func() error) {
	a.t.Helper()
	for range tries {
		err := do()
		if err == nil {
			return
		}
		a.t.Logf("%s: %v", name, err)
		for range tries {
			time.Sleep(2 * a.script.Pause)
			if unchanged == nil {
				break
			}
			if err = unchanged(); err == nil {
				break
			}
			if errors.Is(err, errChanged) {
				a.t.Fatalf("%s: %v", name, err)
			}
			a.t.Logf("after %s: %v", name, err)
		}
	}
	a.t.Fatalf("%s does not succeed any more", name)
}

var errChanged = errors.New("a change that failed was made")

// unchanged checks that the store holds what it did before a change failed. It
// leases, as a dispatcher does all the time.
func (a *actor) unchanged(before string) error {
	for _, consumer := range scriptConsumers {
		if err := a.leaseAndRelease(consumer); err != nil && !errors.Is(err, queue.ErrNoConsumer) {
			return err
		}
	}
	is, err := outlineOf(a.t.Context(), a.Store)
	if err != nil {
		return err
	}
	if is != before {
		return fmt.Errorf("%w: the store holds\n%s\nwant\n%s", errChanged, is, before)
	}
	return nil
}

func (a *actor) leaseAndRelease(consumer string) error {
	waiting, cancel := context.WithTimeout(a.t.Context(), time.Millisecond)
	defer cancel()
	events, _, err := a.Lease(waiting, consumer, 100)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, e := range events {
		if err := a.Settle(a.t.Context(), e, queue.Outcome{Released: true}); err != nil {
			return err
		}
	}
	return nil
}

// settleOne leases an event for a consumer, unless it was before, and settles it.
func (a *actor) settleOne(consumer, identity string, o queue.Outcome) error {
	if a.leased[identity] == nil {
		if err := a.leaseOne(consumer, identity); err != nil {
			return err
		}
	}
	err := a.Settle(a.t.Context(), a.leased[identity], o)
	if err == nil {
		delete(a.leased, identity)
	}
	return err
}

// leaseOne leases what is due for a consumer, and releases all but one event.
func (a *actor) leaseOne(consumer, identity string) error {
	waiting, cancel := context.WithTimeout(a.t.Context(), time.Second)
	defer cancel()
	events, _, err := a.Lease(waiting, consumer, 100)
	for _, e := range events {
		a.leased[e.Identity] = e
	}
	for other, e := range a.leased {
		if other != identity {
			err = errors.Join(err, a.Settle(a.t.Context(), e, queue.Outcome{Released: true}))
			delete(a.leased, other)
		}
	}
	if err == nil && a.leased[identity] == nil {
		err = fmt.Errorf("%s cannot be leased", identity)
	}
	return err
}
