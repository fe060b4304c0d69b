package simulate

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// numbered are n deliveries whose bodies are their numbers.
func numbered(n int) Deliveries {
	return func(yield func([]byte, error) bool) {
		for i := range n {
			if !yield(fmt.Append(nil, i), nil) {
				return
			}
		}
	}
}

// applied returns what faults make of n deliveries.
func applied(t *testing.T, f Faults, n int) (all []sending) {
	t.Helper()
	for s, err := range f.apply(numbered(n)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// bodies returns the numbers of deliveries in their order, without duplicates.
func bodies(all []sending) (numbers []int) {
	for _, s := range all {
		var n int
		if fmt.Sscan(string(s.body), &n); !s.duplicate {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func count(all []sending, is func(sending) bool) (n int) {
	for _, s := range all {
		if is(s) {
			n++
		}
	}
	return n
}

func duplicate(s sending) bool { return s.duplicate }
func forged(s sending) bool    { return s.forged }

func TestNoFaults(t *testing.T) {
	t.Parallel()
	all := applied(t, Faults{Seed: 1}, 100)
	if count(all, duplicate) != 0 || count(all, forged) != 0 || len(all) != 100 || !slices.IsSorted(bodies(all)) {
		t.Errorf("%d deliveries", len(all))
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const n = 20_000
	f := Faults{Seed: 7, Duplicates: 0.05, BadSignatures: 0.01, OutOfOrder: true}
	all := applied(t, f, n)
	if d := count(all, duplicate); d < 900 || d > 1100 {
		t.Errorf("%d duplicates", d)
	}
	if b := count(all, forged); b < 160 || b > 240 {
		t.Errorf("%d forged", b)
	}
	if both := count(all, func(s sending) bool { return s.forged && s.duplicate }); both != 0 {
		t.Errorf("%d forged duplicates", both)
	}
	numbers := bodies(all)
	if slices.IsSorted(numbers) {
		t.Error("all are in order")
	}
	late := 0
	for at, number := range numbers {
		late = max(late, at-number)
	}
	if late == 0 || late > 2*window {
		t.Errorf("one is %d places late", late)
	}
	slices.Sort(numbers)
	for i, number := range numbers {
		if i != number {
			t.Fatalf("%d is missing, or there twice", i)
		}
	}
	seen := make(map[string]bool)
	for _, s := range all {
		if s.duplicate && !seen[string(s.body)] {
			t.Fatalf("the duplicate of %s comes first", s.body)
		}
		seen[string(s.body)] = true
	}

	same := func(a, b sending) bool {
		return string(a.body) == string(b.body) && a.forged == b.forged && a.duplicate == b.duplicate
	}
	if !slices.EqualFunc(all, applied(t, f, n), same) {
		t.Error("not the same again")
	}
	f.Seed++
	if slices.EqualFunc(all, applied(t, f, n), same) {
		t.Error("the seed does not matter")
	}
}

// TestFaultsAreIndependent: which deliveries are forged does not depend on the
// other faults.
func TestFaultsAreIndependent(t *testing.T) {
	t.Parallel()
	which := func(f Faults) (numbers []int) {
		return slices.Sorted(slices.Values(bodies(slices.DeleteFunc(applied(t, f, 1000), func(s sending) bool { return !s.forged }))))
	}
	alone := which(Faults{Seed: 3, BadSignatures: 0.1})
	if with := which(Faults{Seed: 3, BadSignatures: 0.1, Duplicates: 0.5, OutOfOrder: true}); !slices.Equal(alone, with) {
		t.Errorf("%v\n%v", alone, with)
	}
	if all := applied(t, Faults{Duplicates: 1}, 50); count(all, duplicate) != 50 {
		t.Error("not all are sent twice")
	}
	if all := applied(t, Faults{BadSignatures: 1}, 50); count(all, forged) != 50 {
		t.Error("not all are forged")
	}
}

func TestFaultsPassErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	from := func(yield func([]byte, error) bool) {
		for i := range 3 {
			if !yield(fmt.Append(nil, i), nil) {
				return
			}
		}
		yield(nil, broken)
	}
	sent, failed := 0, 0
	for _, err := range (Faults{OutOfOrder: true}).apply(from) {
		if err == nil {
			sent++
		} else if failed++; !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	if sent != 3 || failed != 1 {
		t.Errorf("%d sent, %d errors", sent, failed)
	}
	for range (Faults{OutOfOrder: true, Duplicates: 1}).apply(numbered(1000)) {
		break // must end it, and not panic
	}
}
