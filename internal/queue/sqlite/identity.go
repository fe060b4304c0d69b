package sqlite

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// identity is the hash of what tells an event from others.
type identity struct {
	key    int64
	hash   int64 // more of it, as two may have the same key
	record int   // index of the event in its delivery
}

func newIdentity(key []byte, record int) identity {
	sum := sha256.Sum256(key)
	return identity{int64(binary.BigEndian.Uint64(sum[:])), int64(binary.BigEndian.Uint64(sum[8:])), record}
}

// identitiesOf returns the identities of events that may be duplicates, sorted: so those that are the same are
// neighbours, the first event first, and neighbours share a page of a table.
func identitiesOf(records []queue.Record) []identity {
	ids := make([]identity, 0, len(records))
	var key []byte
	for i := range records {
		if r := &records[i]; !r.NotUnique {
			key = append(key[:0], r.DuplicateKey()...)
			ids = append(ids, newIdentity(key, i))
		}
	}
	slices.SortFunc(ids, func(a, b identity) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.record, b.record))
	})
	return ids
}

// same reports whether the identities of two events are the same.
func (id *identity) same(other *identity) bool { return id.key == other.key && id.hash == other.hash }

// identities are the tables of identities, the oldest first.
type identities struct {
	tables []identityTable
	span   time.Duration // how long identities go into the same table
	newest int64         // when an identity was accepted last
}

type identityTable struct {
	number, begun  int64
	lookup, insert string
}

func newIdentityTable(number, begun int64) identityTable {
	return identityTable{
		number: number,
		begun:  begun,
		lookup: fmt.Sprintf(`SELECT hash, accepted FROM identity_%d WHERE key = ?`, number),
		insert: fmt.Sprintf(`INSERT INTO identity_%d (key, hash, accepted) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET accepted = excluded.accepted WHERE hash = excluded.hash`, number),
	}
}

// tablesPerWindow is how many tables a window for duplicates is divided into: with more
// of them, there is less to keep, but more to look at.
const tablesPerWindow = 4

// load reads which tables there are.
func (i *identities) load(db *conn, now time.Time) error {
	i.newest = now.UnixMicro()
	return db.each(func(s *sqlite3.Stmt) bool {
		i.tables = append(i.tables, newIdentityTable(s.ColumnInt64(0), s.ColumnInt64(1)))
		return true
	}, `SELECT number, begun FROM identity_tables ORDER BY number`)
}

// end returns when the last identity of a table was accepted, at the latest.
func (i *identities) end(n int) int64 {
	if n+1 < len(i.tables) {
		return i.tables[n+1].begun
	}
	return i.newest
}

// setClock takes back times that are still to come, as the clock was set back: else no
// table would be begun or dropped until then.
func (i *identities) setClock(now int64) {
	i.newest = min(i.newest, now)
	for n := len(i.tables) - 1; n >= 0; n-- {
		now = min(now, i.tables[n].begun)
		i.tables[n].begun = now
	}
}

// find returns when an identity in a table was accepted, or 0. One whose key was taken by
// another identity has the next free one.
func (t *txn) find(table *identityTable, id *identity) (accepted int64, err error) {
	s := t.db.statement(table.lookup)
	for key := id.key; ; key++ {
		s.int(1, key)
		found := s.step()
		if found && s.stmt.ColumnInt64(0) == id.hash {
			accepted = s.stmt.ColumnInt64(1)
		}
		if err := s.reset(); err != nil || !found || accepted != 0 {
			return accepted, err
		}
	}
}

// put stores an identity in a table.
func (t *txn) put(table *identityTable, id *identity) error {
	t.dirty = true
	s := t.db.statement(table.insert)
	s.int(2, id.hash)
	s.int(3, t.now)
	for key := id.key; ; key++ {
		s.int(1, key)
		if err := s.run(); err != nil || t.db.Changes() > 0 {
			return err
		}
	}
}

// wasSeen reports whether an identity was accepted within the window.
func (t *txn) wasSeen(id *identity, window time.Duration) (bool, error) {
	i := &t.memory.identities
	after := t.now - window.Microseconds()
	for n := len(i.tables) - 1; n >= 0 && i.end(n) > after; n-- {
		accepted, err := t.find(&i.tables[n], id)
		if err != nil || accepted > after && accepted > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// newestTable returns the table for identities that are accepted now.
func (t *txn) newestTable(window time.Duration) (*identityTable, error) {
	i := &t.memory.identities
	i.setClock(t.now)
	i.span = max(i.span, window/tablesPerWindow)
	if n := len(i.tables); n == 0 || t.now >= i.tables[n-1].begun+i.span.Microseconds() {
		if err := t.addTable(); err != nil {
			return nil, err
		}
	}
	return &i.tables[len(i.tables)-1], nil
}

// addTable begins another table.
func (t *txn) addTable() error {
	i := &t.memory.identities
	number := int64(1)
	if n := len(i.tables); n > 0 {
		number = i.tables[n-1].number + 1
	}
	table := newIdentityTable(number, t.now)
	err := t.change(fmt.Sprintf(`CREATE TABLE identity_%d (key INTEGER PRIMARY KEY, hash INTEGER NOT NULL, accepted INTEGER NOT NULL)`, table.number))
	if err == nil {
		err = t.change(`INSERT INTO identity_tables (number, begun) VALUES (?, ?)`, table.number, table.begun)
	}
	if err == nil {
		i.tables = append(slices.Clip(i.tables), table)
	}
	return err
}

// expireIdentities drops the oldest table if it is out of the window, and reports
// whether it did.
func (t *txn) expireIdentities(window time.Duration) (bool, error) {
	i := &t.memory.identities
	i.setClock(t.now)
	if len(i.tables) == 0 || window > 0 && i.end(0)+window.Microseconds() > t.now {
		return false, nil
	}
	table := i.tables[0]
	err := t.change(fmt.Sprintf(`DROP TABLE identity_%d`, table.number))
	if err == nil {
		err = t.change(`DELETE FROM identity_tables WHERE number = ?`, table.number)
	}
	if err == nil {
		i.tables = i.tables[1:]
		t.db.forget(table.lookup, table.insert)
	}
	return err == nil, err
}
