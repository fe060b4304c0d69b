package sqlite

import (
	"hash/fnv"

	"github.com/ncruces/go-sqlite3"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// The states and the lanes as they are in the file.
const (
	statePending   = 0
	stateDelivered = 1
	stateDead      = 2

	stateForgotten = 3 // as long as others have the event
	stateErased    = 4

	laneLive     = 0
	laneRetried  = 1
	laneReplayed = 2
)

var (
	states = [...]queue.State{queue.Pending, queue.Delivered, queue.Dead, queue.Dead, queue.Erased}
	lanes  = [...]queue.Lane{queue.Live, queue.Retried, queue.Replayed}
)

func codeOf(state queue.State) int {
	switch state {
	case queue.Delivered:
		return stateDelivered
	case queue.Dead:
		return stateDead
	case queue.Erased:
		return stateErased
	}
	return statePending
}

// chainOf returns the chain of a sequence, an FNV-1a hash. Should two have the same one,
// their events just wait for each other.
func chainOf(sequence string) int64 {
	if sequence == "" {
		return 0
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(sequence)) // never fails
	return max(1, int64(hash.Sum64()>>1))
}

// eventColumns are what readEvent reads, of an event e, its delivery d and its status s.
// The body follows them.
const eventColumns = `e.id, e.accepted, e.identity, e.not_unique, e.field, e.account, e.conversation,
	d.url, d.origin, d.secret, e.signature, length(e.body),
	s.state, s.lane, s.due, s.attempts, s.tried, s.requeued, s.settled, s.error, s.chain,
	CASE WHEN e.signature = x'' THEN (SELECT erased FROM note WHERE event = e.id) END,
	CASE WHEN e.signature = x'' THEN (SELECT because FROM note WHERE event = e.id) END, `

// The places of some of them.
const (
	accountColumn      = 5
	conversationColumn = 6
	chainColumn        = 20
	erasedColumn       = 21
	bodyColumn         = 23
)

// eventTables are where the columns come from. Their parameter is the consumer.
const eventTables = ` FROM event e LEFT JOIN delivery d ON d.id = e.delivery
	LEFT JOIN status s ON s.consumer = ? AND s.event = e.id `

// readEvent reads an event as it stands for a consumer.
func readEvent(s *sqlite3.Stmt, consumer string) *queue.Event {
	e := &queue.Event{
		Record: queue.Record{
			Identity:     s.ColumnText(2),
			NotUnique:    s.ColumnBool(3),
			Field:        s.ColumnText(4),
			Account:      s.ColumnText(5),
			Conversation: s.ColumnText(6),
			URL:          s.ColumnText(7),
			Origin:       s.ColumnText(8),
			Secret:       s.ColumnText(9),
			Body:         s.ColumnBlob(bodyColumn, nil),
		},
		Consumer: consumer,
		ID:       uint64(s.ColumnInt64(0)),
		Accepted: queue.FromMicros(s.ColumnInt64(1)),
		Size:     s.ColumnInt(11),
		State:    states[uint(s.ColumnInt(12))%uint(len(states))],
	}
	copy(e.Signature[:], s.ColumnRawBlob(10))
	if e.State == queue.Pending {
		e.Lane = lanes[uint(s.ColumnInt(13))%uint(len(lanes))]
		e.Due = queue.FromMicros(s.ColumnInt64(14))
	}
	e.Attempts = s.ColumnInt(15)
	e.Tried = queue.FromMicros(s.ColumnInt64(16))
	e.Requeued = queue.FromMicros(s.ColumnInt64(17))
	e.Settled = queue.FromMicros(s.ColumnInt64(18))
	e.LastError = s.ColumnText(19)
	e.ErasedAt, e.ErasedBecause = queue.FromMicros(s.ColumnInt64(erasedColumn)), s.ColumnText(erasedColumn+1)
	return e
}

// chainIn returns the chain of an event that readEvent reads: that of its status, if it has
// one.
func (c *consumer) chainIn(s *sqlite3.Stmt) int64 {
	if s.ColumnType(chainColumn) != sqlite3.NULL {
		return s.ColumnInt64(chainColumn)
	}
	return c.chainOf(s.ColumnInt64(0), s.ColumnText(conversationColumn), s.ColumnText(accountColumn))
}
