package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// scriptVariable names the directory of a script that is run in a process of its
// own, where faults are injected.
const scriptVariable = "QUEUE_SCRIPT"

// givesUpVariable is set when the script ends after the first failure.
const givesUpVariable = "QUEUE_SCRIPT_GIVES_UP"

// change is a part of the script, and what it means.
type change struct {
	name  string
	do    func(*actor) error
	apply func(*model)
}

// actor is who follows the script.
type actor struct {
	*Store
	held map[string]*queue.Event // leased, by identity
}

// script goes through all kinds of changes: small and large ones, such that need
// a larger file, and such that need none.
func script() (steps []change) {
	add := func(name string, do func(*actor) error, apply func(*model)) {
		steps = append(steps, change{fmt.Sprintf("%d: %s", len(steps)+1, name), do, apply})
	}
	admission := queue.Admission{Dedupe: 48 * time.Hour}
	accept := func(size int, identities ...string) {
		var records []queue.Record
		for _, name := range identities {
			identity, order, _ := strings.Cut(name, "/")
			r := record(identity, order)
			r.Body = append(r.Body, make([]byte, size)...)
			records = append(records, r)
		}
		add("accept", func(a *actor) error {
			_, err := a.Accept(ctx, records, admission)
			return err
		}, func(m *model) {
			fresh, _, _ := m.accept(records, admission)
			for _, e := range fresh {
				e.ID = uint64(e.place)
			}
		})
	}
	settle := func(identity string, o queue.Outcome) {
		add("settle "+identity, func(a *actor) error {
			return a.settle(identity, o)
		}, func(m *model) {
			for _, e := range m.events {
				if e.Identity == identity {
					m.settle(e.ID, o)
				}
			}
		})
	}
	accept(10, "a/1", "b/1", "c/2")
	accept(0, "d/2", "a/1", "e/")
	settle("a", queue.Outcome{State: queue.Delivered})
	settle("c", queue.Outcome{State: queue.Pending, Error: "500", Ended: now(), Due: time.Now().Add(1000 * time.Hour)})
	settle("e", queue.Outcome{State: queue.Dead, Error: "410"})
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("many%d/%d", i, i%7))
	}
	accept(3000, many...)
	settle("b", queue.Outcome{State: queue.Delivered})
	add("requeue", func(a *actor) error {
		_, err := a.Requeue(ctx, queue.Filter{State: queue.Dead}, 0)
		return err
	}, func(m *model) { m.requeue(queue.Filter{State: queue.Dead}, 0) })
	retention := queue.Retention{Dead: time.Hour, Dedupe: 48 * time.Hour}
	add("expire", func(a *actor) error {
		_, err := a.Expire(ctx, retention)
		return err
	}, func(m *model) { m.expire(retention) })
	settle("e", queue.Outcome{State: queue.Dead, Error: "timeout"})
	accept(5, "f/2", "many3/3", "g/")
	settle("g", queue.Outcome{State: queue.Delivered})
	return steps
}

func newModel() *model { return &model{seen: make(map[string]time.Time)} }

// settle leases an event and settles it.
func (a *actor) settle(identity string, o queue.Outcome) error {
	if a.held[identity] == nil {
		if err := a.lease(identity); err != nil {
			return err
		}
	}
	err := a.Settle(ctx, a.held[identity], o)
	if err == nil {
		delete(a.held, identity)
	}
	return err
}

func (a *actor) lease(identity string) error {
	waiting, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	events, err := a.Lease(waiting, 100)
	for _, e := range events {
		a.held[e.Identity] = e
	}
	for other, e := range a.held {
		if other != identity {
			err = errors.Join(err, a.Settle(ctx, e, queue.Outcome{Released: true}))
			delete(a.held, other)
		}
	}
	if err == nil && a.held[identity] == nil {
		err = fmt.Errorf("%s cannot be leased", identity)
	}
	return err
}

// refused checks that the queue holds what it did before a change failed. It
// leases, as a dispatcher does all the time.
func (a *actor) refused(before string) error {
	waiting, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	events, err := a.Lease(waiting, 100)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, e := range events {
		if err := a.Settle(ctx, e, queue.Outcome{Released: true}); err != nil {
			return err
		}
	}
	is, err := outlineOf(a.Store)
	if err != nil {
		return err
	}
	if is != before {
		return fmt.Errorf("%w: the queue holds\n%s\nwant\n%s", errNotRefused, is, before)
	}
	return nil
}

var errNotRefused = errors.New("what was refused is there")

// outline describes the events of a queue, but for numbers and times that depend
// on faults.
func outline(events []*queue.Event) string {
	var all []string
	for _, e := range slices.Backward(events) {
		all = append(all, fmt.Sprintf("%s/%s %d %s %s %d %q", e.Identity, e.Order, len(e.Body), e.State, e.Lane, e.Attempts, e.LastError))
	}
	return strings.Join(all, "\n")
}

func outlineOf(s *Store) (string, error) {
	events, err := s.List(ctx, queue.Filter{Bodies: true})
	pointers := make([]*queue.Event, len(events))
	for i := range events {
		pointers[i] = &events[i]
	}
	return outline(pointers), err
}

func (m *model) outline() string { return outline(m.list(queue.Filter{Bodies: true})) }

// patient is how often something is tried again that failed.
const patient = 20

// TestScript follows the script. When nothing fails this shows that the script is
// right. In a process of its own some calls of the system fail: then what was
// refused must not be there, and must succeed later.
func TestScript(t *testing.T) {
	dir := os.Getenv(scriptVariable)
	if dir == "" {
		dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		runtime.LockOSThread() // calls of the system are counted by the thread
		ledger, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer ledger.Close()
		path := filepath.Join(dir, "queue.db")
		a := &actor{held: make(map[string]*queue.Event)}
		again(t, "open", func() (err error) {
			a.Store, err = open(path)
			return err
		}, nil)
		defer func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}()
		m := newModel()
		for _, step := range script() {
			if os.Getenv(givesUpVariable) == "" {
				before := m.outline()
				again(t, step.name, func() error { return step.do(a) }, func() error { return a.refused(before) })
			} else if step.do(a) != nil {
				return
			}
			step.apply(m)
			if is, err := outlineOf(a.Store); err != nil || is != m.outline() {
				t.Fatalf("after %s the queue holds\n%s\n%v\nwant\n%s", step.name, is, err, m.outline())
			}
			if _, err := fmt.Fprintln(ledger, step.name); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		again(t, "check", func() error { return a.Check(ctx) }, nil)
	})
}

// again does something until it succeeds, and calls refused after each failure,
// until that succeeds.
func again(t *testing.T, name string, do, refused func() error) {
	t.Helper()
	for range patient {
		err := do()
		if err == nil {
			return
		}
		t.Logf("%s: %v", name, err)
		for range patient {
			time.Sleep(2 * pause)
			if refused == nil {
				break
			}
			if err = refused(); err == nil {
				break
			}
			if errors.Is(err, errNotRefused) {
				t.Fatalf("%s: %v", name, err)
			}
			t.Logf("after %s: %v", name, err)
		}
	}
	t.Fatalf("%s does not succeed any more", name)
}
