package bolt

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	bbolt "go.etcd.io/bbolt"
)

// layoutVersion is the version of what follows.
const layoutVersion = 3

// The buckets of the file. All numbers in keys are in 8 bytes, big endian; times
// are in microseconds since 1970. An id is the number of an event, in the order
// of acceptance.
var (
	bucketMeta = []byte("meta") // keyVersion, keyCounts, keySalt

	// What is known of every event and never changes: id → records, see bundle.
	bucketEvents = []byte("events")

	// Each event stands in one of these. Pending ones as they were accepted, a
	// set of ids, see idSet…
	bucketLive = []byte("live")
	// …pending ones that were tried or requeued, id → status…
	bucketPending = []byte("pending")
	// …and those that are done, id → status.
	bucketDone = []byte("done")

	// Done events in the order in which they are to be forgotten:
	// state (1 byte), time, id → nothing.
	bucketSettled = []byte("settled")

	// Pending events that wait for each other: lane (1 byte), hash of the order
	// key (8 bytes), position → id. The first of a hash is the head.
	bucketOrder = []byte("order")

	// Pending events that nothing holds back: heads, and those without an order.
	bucketReady    = []byte("ready")    // the live ones, a set of ids
	bucketRetried  = []byte("retried")  // time when it is due, id → nothing
	bucketReplayed = []byte("replayed") // time when it is due, id → nothing

	// Identities that were seen: number → a bucket that holds a run, see seen. Of an identity it has the
	// first 16 bytes of its SHA-256.
	bucketSeen = []byte("seen")

	// Changes of bucketOrder that were not made there yet, see buffer: part (1 byte), number → changes.
	bucketLog = []byte("log")

	buckets = [][]byte{
		bucketMeta, bucketEvents, bucketLive, bucketPending, bucketDone, bucketSettled,
		bucketOrder, bucketReady, bucketRetried, bucketReplayed, bucketSeen, bucketLog,
	}

	keyVersion = []byte("version")
	keyCounts  = []byte("counts")
	keySalt    = []byte("salt") // random, of the checksums of the journal
)

func createBuckets(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	return errors.Join(meta.Put(keyVersion, number(layoutVersion)), meta.Put(keyCounts, new(counts).encode()), putSalt(tx))
}

// putSalt lets no frame that was written so far belong to this file.
func putSalt(tx *bbolt.Tx) error {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	return tx.Bucket(bucketMeta).Put(keySalt, salt)
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// pair returns a key of two numbers.
func pair(a, b uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), a), b)
}

// settledKey returns a key of bucketSettled.
func settledKey(state byte, at, id uint64) []byte {
	key := append(make([]byte, 0, 17), state)
	key = binary.BigEndian.AppendUint64(key, at)
	return binary.BigEndian.AppendUint64(key, id)
}

// lineOf returns the line that an event of a lane waits in. Two order keys with the
// same hash share one, which does no harm. Those that are requeued have lines of
// their own.
func lineOf(lane byte, order string) (line lineKey) {
	line[0] = codeLive
	if lane == codeReplayed {
		line[0] = codeReplayed
	}
	sum := sha256.Sum256([]byte(order))
	copy(line[1:], sum[:])
	return line
}

// lastID returns the id at the end of a key.
func lastID(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

func micros(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(0, t.UnixMicro()))
}

func timeOf(micros uint64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(micros))
}

// counts are kept with each transaction, so that nothing has to be counted.
type counts struct{ pending, bytes, dead, delivered int64 }

const sizeCounts = 4 * 8

func (c *counts) encode() []byte {
	var b []byte
	for _, n := range []int64{c.pending, c.bytes, c.dead, c.delivered} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func (c *counts) decode(b []byte) error {
	if len(b) != sizeCounts {
		return errors.New("the counts are damaged")
	}
	for i, n := range []*int64{&c.pending, &c.bytes, &c.dead, &c.delivered} {
		*n = int64(binary.BigEndian.Uint64(b[8*i:]))
	}
	return nil
}

// count counts an event in or out of a state that it stays in.
func (c *counts) count(state byte, n int64) {
	if state == codeDead {
		c.dead += n
	} else {
		c.delivered += n
	}
}
