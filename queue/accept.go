package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// storeOpenTimeout is how long a request waits for the store to be opened. Meta waits
// for five seconds. See its "Instagram Messaging › Webhooks".
const storeOpenTimeout = 3 * time.Second

// accept stores the events of a delivery that are wanted, and returns when they
// are durable.
func (h *Handler) accept(r *http.Request, d *event.Delivery) error {
	store, err := h.queue.await(r.Context())
	if err != nil {
		return err
	}
	if len(r.Host)+len(r.URL.RawPath)+len(r.URL.Path)+len(r.URL.RawQuery) > maxURL {
		return errLongURL
	}
	for range maxLearning {
		var generation int64
		generation, err = h.offer(r, d, store)
		switch {
		case errors.Is(err, queue.ErrOutdated):
			if err := store.relearn(r.Context(), generation); err != nil {
				return err
			}
		case errors.Is(err, queue.ErrNoConsumer):
			if err := store.rejoin(r.Context(), generation, err); err != nil {
				return err
			}
		default:
			if err == nil && h.takesBack(d) {
				store.yieldAll()
			}
			return err
		}
	}
	if errors.Is(err, queue.ErrNoConsumer) {
		store.refused(err)
	}
	return err
}

// maxLearning is how often a delivery is offered to the store while others change who its
// recipients are.
const maxLearning = 4

// offer has the store accept the events for the recipients of this moment, and returns their
// generation.
func (h *Handler) offer(r *http.Request, d *event.Delivery, store *SharedStore) (int64, error) {
	text := bodies.Get().(*[]byte)
	defer giveBack(text)
	store.accepting.RLock()
	defer store.accepting.RUnlock()
	to := &store.recipients
	records, skipped, err := h.records(r, d, to, text)
	if err != nil {
		return to.generation, err
	}
	var duplicates []bool
	if len(records) > 0 || to.generation != 0 { // other gateways may have somebody who wants them
		duplicates, err = store.Accept(r.Context(), records, queue.Admission{
			Consumers:  to.names,
			Dedupe:     time.Duration(*h.Dedupe),
			MaxEvents:  h.MaxPending,
			MaxBytes:   h.MaxPendingSize,
			MinFree:    *h.MinFreeSpace,
			Generation: to.generation,
		})
		if err != nil {
			return to.generation, err
		}
	}
	count(records, duplicates)
	for _, field := range skipped {
		queue.Count(queue.ResultSkipped, "", field, 1)
	}
	return to.generation, nil
}

// count counts what was accepted, by runs of the same field: looking a counter up
// costs more than adding to it.
func count(records []queue.Record, duplicates []bool) {
	result := func(i int) queue.Result {
		if duplicates != nil && duplicates[i] {
			return queue.ResultDuplicate
		}
		return queue.ResultAccepted
	}
	for first, i := 0, 1; i <= len(records); i++ {
		if i == len(records) || records[i].Field != records[first].Field || result(i) != result(first) {
			queue.Count(result(first), "", records[first].Field, i-first)
			first = i
		}
	}
}

// await returns the store. Requests can come before the config has started.
func (q *runner) await(ctx context.Context) (*SharedStore, error) {
	select {
	case <-q.ready:
		return q.store, nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, storeOpenTimeout)
	defer cancel()
	select {
	case <-q.ready:
		return q.store, nil
	case <-ctx.Done():
		return nil, errNotOpen
	}
}

// bodies holds buffers for the bodies of a delivery's records.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled is the capacity above which a buffer is not kept.
const maxPooled = 4 << 20

func giveBack(text *[]byte) {
	if cap(*text) <= maxPooled {
		*text = (*text)[:0]
		bodies.Put(text)
	}
}

// records returns what is to be stored of a delivery, and the fields of what nobody wants.
// The bodies of the records are in text.
func (h *Handler) records(r *http.Request, d *event.Delivery, to *recipients, text *[]byte) (records []queue.Record, skipped []string, err error) {
	events := d.Events()
	records = make([]queue.Record, 0, len(events))
	url, origin := urlOf(r), originOf(r).String()
	var set, ifMatching uint64 // who gets the event
	for i := range events {
		e := &events[i]
		if i == 0 || e.Field != events[i-1].Field {
			set, ifMatching = to.of(e.Field)
		}
		if set|ifMatching == 0 {
			skipped = append(skipped, e.Field)
			continue
		}
		start := len(*text)
		*text = e.AppendEnvelope(*text)
		id, notUnique := e.Identify()
		records = append(records, queue.Record{
			Identity:     id,
			NotUnique:    notUnique,
			Conversation: e.Conversation(),
			For:          set,
			Account:      e.Account,
			Field:        e.Field,
			URL:          url,
			Origin:       origin,
			Secret:       d.Secret,
			Body:         (*text)[start:len(*text):len(*text)],
		})
		last := &records[len(records)-1]
		if h.Unsent == unsentErase {
			last.Message = messageOf(e)
			last.TakesBack = e.Unsent && last.Message != ""
		}
		last.Signature = d.Signer.Sign(last.Body)
		if last.NotUnique {
			// Backends may drop duplicates by it.
			last.Identity += "/" + rand.Text()
		}
		if ifMatching == 0 {
			continue
		}
		matching, err := to.matching(ifMatching, *last)
		if err != nil {
			return nil, nil, err
		}
		if last.For |= matching; last.For == 0 {
			skipped = append(skipped, e.Field)
			records, *text = records[:len(records)-1], (*text)[:start]
		}
	}
	return records, skipped, nil
}

// maxURL bounds the URL of a delivery in bytes: each event is stored with it, and
// no signature covers it.
const maxURL = 4096

var errLongURL = errors.New("the URL of the delivery is longer than 4 KB: the callback URL must be shorter")

// urlOf returns where a request came to, as the handlers after this one would
// see it.
func urlOf(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host + r.URL.RequestURI()
}
