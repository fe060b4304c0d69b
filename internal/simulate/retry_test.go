package simulate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// attempts notes when requests come, and answers each by the time since the
// start.
type attempts struct {
	start time.Time
	at    []time.Duration
	sent  []time.Time // entry.time
	ids   []string
}

func (a *attempts) answer(t *testing.T, by func(since time.Duration) string) func(int, request) string {
	a.start = time.Now()
	return func(_ int, r request) string {
		since := time.Since(a.start)
		ev := event.Split([]byte(r.body))[0]
		a.at = append(a.at, since)
		a.sent = append(a.sent, ev.Sent)
		a.ids = append(a.ids, ev.ID())
		if _, signature := Signatures(testSecret, []byte(r.body)); !strings.Contains(r.head, "X-Hub-Signature-256: "+signature+"\r\n") {
			t.Errorf("the signature is not of this body: %s%s", r.head, r.body)
		}
		return by(since)
	}
}

func (a *attempts) distinct() int { return len(slices.Compact(slices.Sorted(slices.Values(a.ids)))) }

// wantWaits is how long the attempts wait for each other.
var wantWaits = []time.Duration{
	0, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute,
	32 * time.Minute, 64 * time.Minute, 128 * time.Minute, 256 * time.Minute, 512 * time.Minute, 1024 * time.Minute,
}

func (a *attempts) waits() (waits []time.Duration) {
	for i := 1; i < len(a.at); i++ {
		waits = append(waits, a.at[i]-a.at[i-1])
	}
	return waits
}

func TestRetryOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		c, _ := newPipedClient(t, a.answer(t, func(time.Duration) string { return answerStatus(503) }))
		defer c.Close()
		sum, err := (&Run{Client: c, Deliveries: comments(1), Retry: true}).Do(t.Context())
		if err != nil || sum.Failed != 1 || sum.Accepted != 0 || sum.Requests != 15 || sum.Retries != 14 || sum.Status(503) != 15 || sum.Alerts != 0 || sum.Withheld != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
		if got := a.waits(); !slices.Equal(got, wantWaits) {
			t.Errorf("waits %s", got)
		}
		// Meta renews the time: by the time that went by, and a second at least.
		for i, at := range a.at {
			later := a.sent[i].Sub(a.sent[0])
			if want := max(at, time.Second); i > 0 && later != want.Truncate(time.Second) {
				t.Errorf("attempt %d after %s says it was sent %s later", i, at, later)
			}
		}
		if a.distinct() != 1 {
			t.Errorf("%d events", a.distinct())
		}
		if took := time.Since(a.start); took > meta.RetryFor || took < meta.RetryFor/2 {
			t.Errorf("took %s", took)
		}
	})
}

func TestRetryUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		c, _ := newPipedClient(t, a.answer(t, func(since time.Duration) string {
			if since < 20*time.Minute {
				return answerStatus(500)
			}
			return ok
		}))
		defer c.Close()
		var ledger Ledger
		sum, err := (&Run{Client: c, Deliveries: messages(1), Retry: true, Ledger: &ledger}).Do(t.Context())
		if err != nil || sum.Accepted != 1 || sum.Failed != 0 || !sum.AsExpected() || sum.Alerts != 1 || sum.Unsubscribed != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
		if ledger.Len() != 1 {
			t.Errorf("%d in the ledger", ledger.Len())
		}
	})
}

// noticed is a Notice, and when it came.
type noticed struct {
	at time.Duration
	Notice
}

func TestMessagesAreUnsubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		c, _ := newPipedClient(t, a.answer(t, func(time.Duration) string { return answerStatus(500) }))
		defer c.Close()
		body := collect(t, messages(1))[0]
		account := event.Split([]byte(body))[0].Account
		var notices []noticed
		// The second comes after 100 minutes.
		sum, err := (&Run{
			Client: c, Deliveries: Take(Repeat([]byte(body)), 2), Rate: 1.0 / 6000, Concurrency: 2, Retry: true,
			Notify: func(n Notice) { notices = append(notices, noticed{time.Since(a.start), n}) },
		}).Do(t.Context())
		if err != nil || sum.Failed != 2 || sum.Withheld != 2 || sum.Alerts != 1 || sum.Unsubscribed != 1 || sum.Requests != 9 {
			t.Errorf("%+v, %v", sum, err)
		}
		if got := a.waits(); !slices.Equal(got, wantWaits[:8]) {
			t.Errorf("waits %s", got)
		}
		want := []noticed{
			{meta.AlertAfter, Notice{Account: account, Failing: meta.AlertAfter}},
			{meta.UnsubscribeAfter, Notice{Account: account, Failing: meta.UnsubscribeAfter, Unsubscribed: true}},
		}
		if !slices.Equal(notices, want) {
			t.Errorf("%+v, want %+v", notices, want)
		}
	})
}

// TestOneSuccessEndsTheFailure: a message that is refused for good does not
// bring an alert while others of the account are accepted.
func TestOneSuccessEndsTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison := collect(t, messages(1))[0]
		good := strings.Replace(poison, `"mid":"aWdf`, `"mid":"good`, 1)
		from := func(yield func([]byte, error) bool) {
			if !yield([]byte(poison), nil) {
				return
			}
			for range 200 {
				if !yield([]byte(good), nil) {
					return
				}
			}
		}
		c, _ := newPipedClient(t, func(_ int, r request) string {
			if strings.Contains(r.body, `"mid":"good`) {
				return ok
			}
			return answerStatus(500)
		})
		defer c.Close()
		sum, err := (&Run{Client: c, Deliveries: from, Rate: 1.0 / 600, Retry: true}).Do(t.Context())
		if err != nil || sum.Accepted != 200 || sum.Failed != 1 || sum.Alerts != 0 || sum.Unsubscribed != 0 || sum.Retries != 14 {
			t.Errorf("%+v, %v", sum, err)
		}
	})
}

func TestSpeedup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		c, _ := newPipedClient(t, a.answer(t, func(time.Duration) string { return answerStatus(500) }))
		defer c.Close()
		sum, err := (&Run{Client: c, Deliveries: comments(1), Retry: true, Speedup: 3600}).Do(t.Context())
		if err != nil || sum.Failed != 1 || sum.Retries != 14 {
			t.Errorf("%+v, %v", sum, err)
		}
		if took := time.Since(a.start); took > 36*time.Second || took < 18*time.Second {
			t.Errorf("took %s", took)
		}
		for i, wait := range a.waits() {
			if want := wantWaits[i] / 3600; wait < want || wait > want+time.Microsecond {
				t.Errorf("wait %d was %s, not %s", i, wait, want)
			}
		}
		// What the receiver reads is the fast clock.
		last := len(a.sent) - 1
		if later := a.sent[last].Sub(a.sent[0]); later < meta.RetryFor/2 {
			t.Errorf("the last was sent %s later", later)
		}
	})
}

// TestRetryAfterTimeout: the time-out of a request is Meta's, on any clock.
func TestRetryAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		c, _ := newPipedClient(t, func(n int, _ request) string {
			if n <= 2 {
				<-forever
			}
			return ok
		})
		defer c.Close()
		defer close(forever)
		start := time.Now()
		sum, err := (&Run{Client: c, Deliveries: messages(1), Retry: true, Speedup: 15}).Do(t.Context())
		if err != nil || sum.Accepted != 1 || sum.Answers["timeout"] != 2 || sum.Status(200) != 1 {
			t.Errorf("%+v, %v", sum, err)
		}
		if took := time.Since(start); took < 11*time.Second || took > 11*time.Second+time.Microsecond {
			t.Errorf("took %s", took)
		}
	})
}

func TestRunIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newPipedClient(t, answering(answerStatus(500)))
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sum, err := (&Run{Client: c, Deliveries: comments(3), Retry: true}).Do(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || sum.Unfinished != 3 || sum.Failed != 0 || sum.AsExpected() || sum.Seconds != 60 {
			t.Errorf("%+v, %v", sum, err)
		}
	})
}

// TestPendingIsBounded: while a receiver is down, what waits for a retry does
// not grow without end.
func TestPendingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newPipedClient(t, answering(answerStatus(500)))
		defer c.Close()
		asked := 0
		from := func(yield func([]byte, error) bool) {
			for body := range comments(10 * maxPending) {
				if asked++; !yield(body, nil) {
					return
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sum, _ := (&Run{Client: c, Deliveries: from, Retry: true, Concurrency: 4}).Do(ctx)
		if sum.Deliveries != maxPending || asked != maxPending+1 {
			t.Errorf("%d deliveries, %d asked for", sum.Deliveries, asked)
		}
	})
}
