package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// identity is the hash of what tells an event from others.
type identity struct {
	key  int64
	hash [16]byte // more of it, as two may have the same key
}

func newIdentity(text string) identity {
	sum := sha256.Sum256([]byte(text))
	return identity{int64(binary.BigEndian.Uint64(sum[:])), [16]byte(sum[8:])}
}

// identities are the tables of identities, the oldest first.
type identities struct {
	tables []identityTable
	span   time.Duration // how long identities go into the same table
	newest int64         // when an identity was accepted last
}

type identityTable struct{ number, begun int64 }

// tablesPerWindow is how many tables a window for duplicates is divided into: with more
// of them, there is less to keep, but more to look at.
const tablesPerWindow = 4

// load reads which tables there are.
func (i *identities) load(db *conn, now time.Time) error {
	i.newest = now.UnixMicro()
	return db.each(func(s *sqlite3.Stmt) bool {
		i.tables = append(i.tables, identityTable{s.ColumnInt64(0), s.ColumnInt64(1)})
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

func (i identityTable) lookup() string {
	return fmt.Sprintf(`SELECT hash, accepted FROM identity_%d WHERE key = ?`, i.number)
}

func (i identityTable) insert() string {
	return fmt.Sprintf(`INSERT OR REPLACE INTO identity_%d (key, hash, accepted) VALUES (?, ?, ?)`, i.number)
}

// place returns the key that an identity has in a table, and when it was accepted; or
// the key that is free for it, and 0.
func (t *txn) place(table identityTable, id *identity) (key, accepted int64, err error) {
	for key = id.key; ; key++ {
		same := false
		found, err := t.db.first(func(s *sqlite3.Stmt) {
			if same = string(s.ColumnRawBlob(0)) == string(id.hash[:]); same {
				accepted = s.ColumnInt64(1)
			}
		}, table.lookup(), key)
		if err != nil || !found || same {
			return key, accepted, err
		}
	}
}

// wasSeen reports whether an identity was accepted within the window.
func (t *txn) wasSeen(id *identity, window time.Duration) (bool, error) {
	i := &t.memory.identities
	after := t.now - window.Microseconds()
	for n := len(i.tables) - 1; n >= 0 && i.end(n) > after; n-- {
		_, accepted, err := t.place(i.tables[n], id)
		if err != nil || accepted > after && accepted > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// remember stores identities that are accepted now.
func (t *txn) remember(ids []*identity, window time.Duration) error {
	i := &t.memory.identities
	i.span = max(i.span, window/tablesPerWindow)
	if n := len(i.tables); n == 0 || t.now >= i.tables[n-1].begun+i.span.Microseconds() {
		if err := t.addTable(); err != nil {
			return err
		}
	}
	table := i.tables[len(i.tables)-1]
	slices.SortFunc(ids, func(a, b *identity) int { // neighbours share a page
		if a.key < b.key {
			return -1
		}
		return 1
	})
	for _, id := range ids {
		key, _, err := t.place(table, id)
		if err == nil {
			err = t.change(table.insert(), key, id.hash[:], t.now)
		}
		if err != nil {
			return err
		}
	}
	i.newest = t.now
	return nil
}

// addTable begins another table.
func (t *txn) addTable() error {
	i := &t.memory.identities
	table := identityTable{1, t.now}
	if n := len(i.tables); n > 0 {
		table.number = i.tables[n-1].number + 1
	}
	err := t.change(fmt.Sprintf(`CREATE TABLE identity_%d (key INTEGER PRIMARY KEY, hash BLOB NOT NULL, accepted INTEGER NOT NULL)`, table.number))
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
		t.db.forget(table.lookup(), table.insert())
	}
	return err == nil, err
}
