package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// acceptance is a delivery on its way into the queue.
type acceptance struct {
	queue.Admission
	records    []queue.Record
	keys       []string // of the records, to recognise duplicates; "": never one
	again      []bool   // duplicates within the delivery; nil: none
	duplicates []bool   // nil: none
	size       int
	err        error
}

// Accept implements queue.Store.
func (s *Store) Accept(ctx context.Context, records []queue.Record, admission queue.Admission) ([]bool, error) {
	if s.life.Err() != nil {
		return nil, queue.ErrClosed
	}
	if err := s.Refuses(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	a := newAcceptance(records, admission)
	duplicates, err := call(ctx, s, nil, func(context.Context) ([]bool, error) {
		if err := s.accepts.Do(a); err != nil {
			return nil, err
		}
		return a.duplicates, a.err
	})
	if reason := s.unsound.Load(); reason != nil && errors.Is(err, errPatience) {
		err = *reason // found meanwhile
	}
	return duplicates, err
}

func newAcceptance(records []queue.Record, admission queue.Admission) *acceptance {
	a := &acceptance{Admission: admission, records: slices.Clone(records), keys: make([]string, len(records))}
	seen := make(map[string]bool)
	for i := range a.records {
		r := &a.records[i]
		r.Body = append([]byte{}, r.Body...) // it is the caller's, who may not wait; nil is no body
		a.size += len(r.Body)
		if a.Dedupe <= 0 || r.NotUnique {
			continue
		}
		hash := sha256.Sum256([]byte(r.DuplicateKey()))
		key := hex.EncodeToString(hash[:16])
		if seen[key] {
			if a.again == nil {
				a.again = make([]bool, len(records))
			}
			a.again[i] = true
			continue
		}
		seen[key] = true
		a.keys[i] = key
	}
	return a
}

// acceptsAtOnce is how many batches are under way at the same time: while one waits for the
// disks of two servers, the next one is worked on.
const acceptsAtOnce = 2

// A batch is stored in parts that are not larger, unless a delivery is.
const (
	maxEvents = 2000
	maxBytes  = 16 << 20
)

// acceptAll stores a batch of deliveries.
func (s *Store) acceptAll(batch []*acceptance) error {
	s.progress.begin()
	defer s.progress.end()
	if err := s.prepare(s.work); err != nil {
		return err
	}
	for len(batch) > 0 {
		var part []*acceptance
		part, batch = divide(batch)
		err := s.acceptPart(part)
		if c := code(err); len(part) > 1 && (c == codeFull || c == codeNoConsumer) {
			for _, a := range part {
				a.err = s.acceptPart([]*acceptance{a})
			}
			continue
		}
		for _, a := range part {
			a.err = err
		}
	}
	s.lower(math.MaxInt64) // what is new comes last
	return nil
}

// divide returns what can be stored together: with the same limits and generation, and no
// event twice.
func divide(batch []*acceptance) (part, rest []*acceptance) {
	seen := make(map[string]bool)
	events, bytes := 0, 0
	for _, a := range batch {
		fits := len(part) == 0 || events+len(a.records) <= maxEvents && bytes+a.size <= maxBytes &&
			a.Dedupe == part[0].Dedupe && a.Generation == part[0].Generation && a.MaxEvents == part[0].MaxEvents && a.MaxBytes == part[0].MaxBytes
		for _, key := range a.keys {
			fits = fits && !seen[key]
		}
		for _, key := range a.keys {
			seen[key] = key != ""
		}
		if fits {
			part = append(part, a)
			events, bytes = events+len(a.records), bytes+a.size
		} else {
			rest = append(rest, a)
		}
	}
	return part, rest
}

// columns are the arguments of the function accept.
type columns struct {
	keys, identities, fields, accounts, conversations, urls, origins, secrets []string
	notUnique                                                                 []bool
	signatures, bodies                                                        [][]byte
	messages                                                                  []string // "": none that is to be erased some day
	takesBack                                                                 []bool
	anyMessage                                                                bool
	names                                                                     []string
	toEvent, toName                                                           []int32
	roomEvents, roomBytes                                                     []int64
	from                                                                      []source
}

// source is which record a row is.
type source struct {
	*acceptance
	record int
}

func columnsOf(part []*acceptance) *columns {
	c := new(columns)
	numbers := make(map[string]int32)
	for _, a := range part {
		for _, name := range a.Recipients() {
			if numbers[name] == 0 {
				c.names = append(c.names, name)
				numbers[name] = int32(len(c.names))
			}
		}
		for i := range a.records {
			if a.again == nil || !a.again[i] {
				c.add(a, i, numbers)
			}
		}
	}
	return c
}

func (c *columns) add(a *acceptance, i int, numbers map[string]int32) {
	r := &a.records[i]
	c.from = append(c.from, source{a, i})
	c.keys = append(c.keys, a.keys[i])
	c.identities = append(c.identities, text(r.Identity))
	c.notUnique = append(c.notUnique, r.NotUnique)
	c.fields = append(c.fields, text(r.Field))
	c.accounts = append(c.accounts, text(r.Account))
	c.conversations = append(c.conversations, text(r.Conversation))
	c.urls = append(c.urls, text(r.URL))
	c.origins = append(c.origins, text(r.Origin))
	c.secrets = append(c.secrets, text(r.Secret))
	c.signatures = append(c.signatures, r.Signature[:])
	c.bodies = append(c.bodies, r.Body)
	key := ""
	if r.Message != "" {
		hash := sha256.Sum256([]byte(r.Message))
		key, c.anyMessage = hex.EncodeToString(hash[:16]), true
	}
	c.messages, c.takesBack = append(c.messages, key), append(c.takesBack, r.TakesBack)
	for n, name := range a.Recipients() {
		if r.IsFor(n) {
			c.toEvent = append(c.toEvent, int32(len(c.keys)))
			c.toName = append(c.toName, numbers[name])
		}
	}
}

const (
	acceptSQL         = "SELECT {accept}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
	acceptMessagesSQL = "SELECT {accept_messages}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)"
)

// acceptPart stores deliveries in one transaction.
func (s *Store) acceptPart(part []*acceptance) error {
	c, limits := columnsOf(part), part[0].Admission
	var has []amount
	var old bool
	if limits.MaxEvents > 0 || limits.MaxBytes > 0 {
		var err error
		if has, old, err = s.backlogOf(s.work, c.names); err != nil {
			return err
		}
		for _, w := range has {
			c.roomEvents = append(c.roomEvents, room(limits.MaxEvents, w.events))
			c.roomBytes = append(c.roomBytes, room(limits.MaxBytes, w.bytes))
		}
	}
	var fresh []int32
	warnings := s.warnings.Load()
	_, err := retry(s.work, func(ctx context.Context) (_ struct{}, err error) {
		sql, args := acceptSQL, []any{
			s.durability(), limits.Generation, time.Now().UnixMicro(), limits.Dedupe.Microseconds(),
			c.keys, c.identities, c.notUnique, c.fields, c.accounts, c.conversations, c.urls, c.origins, c.secrets,
			c.signatures, c.bodies, c.names, c.toEvent, c.toName, c.roomEvents, c.roomBytes,
		}
		if c.anyMessage {
			sql, args = acceptMessagesSQL, append(args, c.messages, c.takesBack, queue.BecauseTakenBack)
		}
		return struct{}{}, s.queryRow(ctx, sql, args, []any{&fresh})
	})
	if code(err) == codeFull && old { // there may be room by now
		if err := s.countBacklog(s.work); err != nil {
			return err
		}
		return s.acceptPart(part)
	}
	if code(err) == codeFull && len(part) == 1 {
		return c.full(err, &limits, has)
	}
	if code(err) == codeNoStandbys {
		s.judge(noStandbys)
	}
	if err == nil && s.warnings.Load() != warnings {
		err = errStandby
	}
	if err != nil {
		return err
	}
	if has != nil {
		s.more(c, fresh)
	}
	for _, a := range part {
		a.duplicates = slices.Clone(a.again)
	}
	for i, from := range c.from {
		if _, found := slices.BinarySearch(fresh, int32(i+1)); !found {
			if from.duplicates == nil {
				from.duplicates = make([]bool, len(from.records))
			}
			from.duplicates[from.record] = true
		}
	}
	return nil
}
