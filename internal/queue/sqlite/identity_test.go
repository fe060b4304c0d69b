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

// TestClockSetBack remembers identities by a clock that is years ahead, and is put right
// then. They are duplicates still, others go into new tables, and the old ones are dropped.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	accept(t, s, record("a", ""))
	if err := s.do(ctx, &operation{apply: func(txn *txn) error {
		txn.memory.identities.tables[0].begun += 10 * 365 * 24 * time.Hour.Microseconds()
		txn.memory.identities.newest = txn.memory.identities.tables[0].begun
		return txn.change(`UPDATE identity_1 SET accepted = ?`, txn.memory.identities.newest)
	}}); err != nil {
		t.Fatal(err)
	}
	if duplicates := accept(t, s, record("a", ""), record("b", "")); len(duplicates) != 2 || !duplicates[0] || duplicates[1] {
		t.Errorf("duplicates: %v, want the first", duplicates)
	}
	later := time.Now().Add(2 * time.Hour).UnixMicro()
	if err := s.do(ctx, &operation{apply: func(txn *txn) error {
		txn.now = later
		dropped, err := txn.expireIdentities(time.Hour)
		if !dropped {
			t.Error("the table from the future is kept")
		}
		return err
	}}); err != nil {
		t.Fatal(err)
	}
}
