package bolt

import (
	"bytes"

	bbolt "go.etcd.io/bbolt"
)

// lookahead is what the file knows of the events of a delivery. It is looked up
// before the turn of the delivery comes: others wait for a commit. What the file
// has got since then, the buffer tells for a while.
type lookahead struct {
	db    *bbolt.DB
	tx    int    // transaction that was read; 0: nothing was looked up
	lines []bool // by record: its line has places in bucketOrder
}

// worthLookahead is how many events are worth a transaction that reads. Tests set
// it lower.
var worthLookahead = 16

// lookAhead looks up what the file knows of a delivery. A failure is left to the
// commit, which will look for itself.
func (s *Store) lookAhead(a *acceptance) {
	if len(a.records) < worthLookahead {
		return
	}
	_ = s.view(func(tx *bbolt.Tx) error {
		lines := make([]bool, len(a.records))
		order := tx.Bucket(bucketOrder).Cursor()
		for i := range a.records {
			if line := a.lines[i]; a.records[i].Order != "" {
				key, _ := order.Seek(line[:])
				lines[i] = bytes.HasPrefix(key, line[:])
			}
		}
		a.ahead = lookahead{tx.DB(), tx.ID(), lines}
		return nil
	})
}

// holds reports whether it is known what the file has got since.
func (l *lookahead) holds(t *txn) bool {
	return l.tx != 0 && l.tx >= t.buffer.since && l.db == t.tx.DB()
}

// mayWait reports whether the line of a record may have places in bucketOrder.
func (l *lookahead) mayWait(t *txn, i int, line lineKey) bool {
	return !l.holds(t) || l.lines[i] || t.buffer.hadSince(l.tx, line)
}
