package sqlite

import (
	"errors"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestRefusedBesideDamage has a commit come upon damage: each operation is then done by
// itself, and what is refused stays so.
func TestRefusedBesideDamage(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	damaged := &operation{apply: func(*txn) error { return failure{damage{errors.New("page 7")}} }}
	a := newAcceptance([]queue.Record{record("1", ""), record("2", "")}, queue.Admission{MaxEvents: 1})
	refused := &operation{apply: a.apply, grows: true}
	if err := s.commit([]*operation{damaged, refused}); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(damaged.err, ErrDamaged) {
		t.Errorf("what comes upon damage ends with: %v", damaged.err)
	}
	if !errors.Is(refused.err, queue.ErrFull) {
		t.Errorf("what is refused ends with: %v", refused.err)
	}
}

// TestPanicInACommit has an operation panic: its transaction is taken back, and the next
// one goes on.
func TestPanicInACommit(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("1", ""))
	func() {
		defer func() { _ = recover() }()
		_ = s.do(ctx, &operation{apply: func(t *txn) error {
			if _, _, err := t.lease(t.memory.consumer(queue.DefaultConsumer), 1); err != nil {
				return err
			}
			panic("a fault in the program")
		}})
		t.Error("nothing panicked")
	}()
	events := due(t, s, 1)
	if len(events) != 1 {
		t.Fatal("the event that was being leased is lost")
	}
	settle(t, s, events[0], queue.Outcome{State: queue.Delivered})
	check(t, s)
}

// TestTooMuchForTheMemory has an event come that does not fit into the memory that a
// connection may have: it is refused, and what comes with it is accepted.
func TestTooMuchForTheMemory(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	big := record("big", "")
	big.Body = make([]byte, 300<<20)
	var ops []*operation
	for _, r := range []queue.Record{record("1", ""), big, record("2", "")} {
		ops = append(ops, &operation{apply: newAcceptance([]queue.Record{r}, queue.Admission{}).apply, grows: true})
	}
	if err := s.commit(ops); err != nil {
		t.Fatal(err)
	}
	if ops[0].err != nil || ops[1].err == nil || ops[2].err != nil {
		t.Errorf("accepted: %v; %v; %v", ops[0].err, ops[1].err, ops[2].err)
	}
	if events := due(t, s, 10); len(events) != 2 {
		t.Errorf("%d events are due, want 2", len(events))
	}
	check(t, s)
}
