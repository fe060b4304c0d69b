package commit

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// TestItemsGatherWhileABatchIsUnderWay holds the first batch until all others
// have joined the second.
func TestItemsGatherWhileABatchIsUnderWay(t *testing.T) {
	t.Parallel()
	const others = 50
	started, proceed := make(chan struct{}), make(chan struct{})
	var batches [][]int
	g := NewGroup(func(items []int) error {
		batches = append(batches, items)
		if len(batches) == 1 {
			close(started)
			<-proceed
		}
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Do(-1); err != nil {
			t.Error(err)
		}
	})
	<-started
	for i := range others {
		wg.Go(func() {
			if err := g.Do(i); err != nil {
				t.Error(err)
			}
		})
	}
	for joined := 0; joined < others; runtime.Gosched() {
		g.mu.Lock()
		if g.next != nil {
			joined = len(g.next.items)
		}
		g.mu.Unlock()
	}
	close(proceed)
	wg.Wait()
	if len(batches) != 2 || len(batches[0]) != 1 || len(batches[1]) != others {
		t.Fatalf("got %d batches: %v", len(batches), batches)
	}
	slices.Sort(batches[1])
	for i, item := range batches[1] {
		if item != i {
			t.Fatalf("item %d is missing: %v", i, batches[1])
		}
	}
}

func TestErrorReachesTheWholeBatchAndNoOther(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	g := NewGroup(func(items []int) error {
		if slices.Contains(items, 1) {
			return broken
		}
		return nil
	})
	if err := g.Do(0); err != nil {
		t.Errorf("first batch: %v", err)
	}
	if err := g.Do(1); !errors.Is(err, broken) {
		t.Errorf("second batch: %v", err)
	}
	if err := g.Do(2); err != nil {
		t.Errorf("third batch: %v", err)
	}
}

// TestPanicReleasesTheBatch holds that nobody waits for ever, and nobody takes
// his item for committed, after a panic.
func TestPanicReleasesTheBatch(t *testing.T) {
	t.Parallel()
	inside, proceed := make(chan struct{}), make(chan struct{})
	first := true
	g := NewGroup(func([]int) error {
		if first {
			first = false
			close(inside)
			<-proceed
			panic("unexpected")
		}
		return nil
	})
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		_ = g.Do(0)
	}()
	<-inside
	after := make(chan error)
	go func() { after <- g.Do(1) }()
	close(proceed)
	if <-panicked == nil {
		t.Error("the panic was swallowed")
	}
	if err := <-after; err != nil {
		t.Errorf("the next batch: %v", err)
	}
}

// TestBatchesAtTheSameTime has as many batches be under way as are allowed, and all others
// gather for the next one.
func TestBatchesAtTheSameTime(t *testing.T) {
	t.Parallel()
	const limit, others = 2, 20
	started, proceed := make(chan []int), make(chan struct{})
	g := NewConcurrentGroup(limit, func(items []int) error {
		started <- items
		<-proceed
		return nil
	})
	var wg sync.WaitGroup
	do := func(item int) {
		wg.Go(func() {
			if err := g.Do(item); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range limit {
		do(i)
		if got := <-started; !slices.Equal(got, []int{i}) {
			t.Fatalf("batch %d has %v", i, got)
		}
	}
	for i := range others {
		do(limit + i)
	}
	for joined := 0; joined < others; runtime.Gosched() {
		select {
		case got := <-started:
			t.Fatalf("batch %v is one too many", got)
		default:
		}
		g.mu.Lock()
		if g.next != nil {
			joined = len(g.next.items)
		}
		g.mu.Unlock()
	}
	proceed <- struct{}{}
	if got := <-started; len(got) != others {
		t.Errorf("the next batch has %d items, want %d", len(got), others)
	}
	close(proceed)
	wg.Wait()
}
