package sqlite

import (
	"testing"
	"time"
)

// TestIdentitiesWithOneKey stores identities that have the same key, or that of a neighbour.
func TestIdentitiesWithOneKey(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	stored := []identity{{key: 7, hash: 1}, {key: 7, hash: 2}, {key: 8, hash: 3}}
	others := []identity{{key: 7, hash: 4}, {key: 8, hash: 1}, {key: 9, hash: 2}, {key: 6, hash: 1}}
	if err := s.do(ctx, &operation{apply: func(txn *txn) error {
		table, err := txn.newestTable(time.Hour)
		for i := 0; err == nil && i < len(stored); i++ {
			err = txn.put(table, &stored[i])
		}
		for i, id := range append(stored, others...) {
			seen, failed := txn.wasSeen(&id, time.Hour)
			if want := i < len(stored); failed != nil || seen != want {
				t.Errorf("the identity %v is seen: %t, %v, want %t", id, seen, failed, want)
			}
		}
		return err
	}}); err != nil {
		t.Fatal(err)
	}
}
