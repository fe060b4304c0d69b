package bolt

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// A record is a version byte, the time of acceptance, flags, the signature, the
// length of the head, the head, which is the strings with their lengths, and the
// body. The last string, the origin, came later: a head may end before it.
const (
	recordVersion = 1
	recordFixed   = 1 + 8 + 1 + 32 + 4
	flagRecurring = 1
)

// recordSize returns an upper bound of the size of an encoded record.
func recordSize(r *queue.Record) int {
	return recordFixed + len(r.Identity) + len(r.Order) + len(r.Account) + len(r.Field) +
		len(r.URL) + len(r.Secret) + len(r.Origin) + 7*binary.MaxVarintLen32 + len(r.Body)
}

func appendRecord(dst []byte, r *queue.Record, accepted uint64) []byte {
	dst = append(dst, recordVersion)
	dst = binary.BigEndian.AppendUint64(dst, accepted)
	var flags byte
	if r.NotUnique {
		flags |= flagRecurring
	}
	dst = append(dst, flags)
	dst = append(dst, r.Signature[:]...)
	dst = append(dst, 0, 0, 0, 0)
	head := len(dst)
	for _, text := range [...]string{r.Identity, r.Order, r.Account, r.Field, r.URL, r.Secret, r.Origin} {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	binary.BigEndian.PutUint32(dst[head-4:], uint32(len(dst)-head))
	return append(dst, r.Body...)
}

// recordAccepted returns when the event of a record was accepted.
func recordAccepted(b []byte) time.Time {
	if len(b) < recordFixed {
		return time.Time{}
	}
	return timeOf(binary.BigEndian.Uint64(b[1:]))
}

// decodeRecord reads a record into e, with its body if that is asked for. What
// it keeps is a copy of b. It reports false for a damaged record.
func decodeRecord(b []byte, e *queue.Event, body bool) bool {
	if len(b) < recordFixed || b[0] != recordVersion {
		return false
	}
	e.Accepted = recordAccepted(b)
	e.NotUnique = b[9]&flagRecurring != 0
	copy(e.Signature[:], b[10:])
	length := int(binary.BigEndian.Uint32(b[recordFixed-4:]))
	rest := b[recordFixed:]
	if length > len(rest) {
		return false
	}
	head := string(rest[:length])
	e.Size = len(rest) - length
	if body {
		e.Body = bytes.Clone(rest[length:])
	}
	for _, text := range [...]*string{&e.Identity, &e.Order, &e.Account, &e.Field, &e.URL, &e.Secret, &e.Origin} {
		if text == &e.Origin && head == "" {
			break
		}
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(head)-n) {
			return false
		}
		*text = head[n : n+int(size)]
		head = head[n+int(size):]
		rest = rest[n+int(size):]
	}
	return true
}

// status is what changes of an event.
type status struct {
	state, lane byte
	attempts    uint32
	position    uint64 // in its order
	due         uint64
	tried       uint64 // when the first attempt failed
	requeued    uint64
	settled     uint64
	lastError   string
}

const statusFixed = 2 + 4 + 5*8

// The codes of states and lanes.
const (
	codePending   = 'p'
	codeDelivered = 'd'
	codeDead      = 'x'

	codeLive     = 'l'
	codeRetried  = 't'
	codeReplayed = 'r'
)

var (
	states = map[byte]queue.State{codePending: queue.Pending, codeDelivered: queue.Delivered, codeDead: queue.Dead}
	lanes  = map[byte]queue.Lane{codeLive: queue.Live, codeRetried: queue.Retried, codeReplayed: queue.Replayed}
)

// maxError bounds what is kept of an error.
const maxError = 1024

func (s *status) append(b []byte) []byte {
	b = append(b, s.state, s.lane)
	b = binary.BigEndian.AppendUint32(b, s.attempts)
	for _, n := range [...]uint64{s.position, s.due, s.tried, s.requeued, s.settled} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return append(b, s.lastError[:min(len(s.lastError), maxError)]...)
}

func decodeStatus(b []byte) (s status, ok bool) {
	if len(b) < statusFixed {
		return s, false
	}
	s.state, s.lane = b[0], b[1]
	s.attempts = binary.BigEndian.Uint32(b[2:])
	for i, n := range [...]*uint64{&s.position, &s.due, &s.tried, &s.requeued, &s.settled} {
		*n = binary.BigEndian.Uint64(b[6+8*i:])
	}
	s.lastError = string(b[statusFixed:])
	return s, true
}

// liveStatus returns the status of an event that is as it was accepted.
func liveStatus(id uint64) status {
	return status{state: codePending, lane: codeLive, position: id}
}

// into sets the parts of e that a status knows.
func (s *status) into(e *queue.Event) {
	e.State = states[s.state]
	if s.state == codePending {
		e.Lane = lanes[s.lane]
		e.Due = timeOf(s.due)
	}
	e.Attempts = int(s.attempts)
	e.Tried = timeOf(s.tried)
	e.LastError = s.lastError
	e.Requeued = timeOf(s.requeued)
	e.Settled = timeOf(s.settled)
}
