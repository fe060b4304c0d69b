package simulate

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/event"
)

// signed reports whether a request has the signature of the tests' secret.
func signed(r request) bool {
	_, signature := Signatures(testSecret, []byte(r.body))
	return strings.Contains(r.head, "X-Hub-Signature-256: "+signature+"\r\n")
}

// checking answers 200 to what is signed rightly, and 401 to the rest.
func checking(_ int, r request) string {
	if signed(r) {
		return ok
	}
	return answerStatus(401)
}

func TestRun(t *testing.T) {
	t.Parallel()
	c, rc := newClient(t, checking)
	var ledger Ledger
	run := &Run{
		Client: c, Deliveries: comments(2000), Concurrency: 8, Ledger: &ledger,
		Faults: Faults{Seed: 4, Duplicates: 0.05, BadSignatures: 0.02, OutOfOrder: true},
	}
	sum, err := run.Do(t.Context())
	received := rc.received()
	ids := make(map[string]bool)
	duplicates, forged, size := 0, 0, 0
	for _, r := range received {
		size += len(r.body)
		id := event.Split([]byte(r.body))[0].ID()
		switch {
		case !signed(r):
			forged++
		case ids[id]:
			duplicates++
		default:
			ids[id] = true
		}
	}
	want := Summary{
		Deliveries: 2000 + duplicates, Duplicates: duplicates, Forged: forged, Accepted: 2000 + duplicates - forged,
		Acknowledged: 2000 + duplicates - forged, Requests: len(received), Bytes: int64(size),
		Answers: map[string]int{"200": 2000 + duplicates - forged, "401": forged},
		Seconds: sum.Seconds, Latency: sum.Latency,
	}
	if err != nil || !equal(*sum, want) || duplicates == 0 || forged == 0 || !sum.AsExpected() || sum.Requests-sum.Status(200) != forged {
		t.Errorf("%+v\nwant %+v, %v", *sum, want, err)
	}
	if l := sum.Latency; l == nil || l.P50 <= 0 || l.P90 < l.P50 || l.P99 < l.P90 || l.Max < l.P99 || sum.Seconds <= 0 {
		t.Errorf("%+v", l)
	}
	var found []string
	for id := range ids {
		found = append(found, id)
	}
	report, err := ledger.Verify(func(yield func(string, error) bool) {
		for _, id := range found[1:] {
			if !yield(id, nil) {
				return
			}
		}
	})
	if err != nil || ledger.Len() != 2000-forged || !slices.Equal(report.Missing, found[:1]) {
		t.Errorf("%d in the ledger, %+v, %v", ledger.Len(), report, err)
	}
}

func equal(a, b Summary) bool {
	same := len(a.Answers) == len(b.Answers) && a.Latency == b.Latency
	for label, n := range a.Answers {
		same = same && b.Answers[label] == n
	}
	a.Answers, b.Answers, a.Latency, b.Latency = nil, nil, nil, nil
	type comparable struct {
		a, b, c, d, e, f, g, h, i, j, k, l int
		bytes                              int64
		seconds                            float64
	}
	of := func(s Summary) comparable {
		return comparable{s.Deliveries, s.Duplicates, s.Accepted, s.Failed, s.Forged, s.ForgedAccepted, s.Unfinished, s.Acknowledged, s.Requests, s.Retries, s.Withheld, s.Alerts + s.Unsubscribed, s.Bytes, s.Seconds}
	}
	return same && of(a) == of(b)
}

// TestRunIsReproducible sends the same bytes in the same order twice, and
// duplicates that say they were sent later.
func TestRunIsReproducible(t *testing.T) {
	t.Parallel()
	sent := func() (all []string) {
		c, rc := newClient(t, checking)
		_, err := (&Run{Client: c, Deliveries: messages(300), Faults: Faults{Seed: 9, Duplicates: 0.2, BadSignatures: 0.1, OutOfOrder: true}}).Do(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rc.received() {
			_, head, _ := strings.Cut(r.head, "User-Agent") // before it stands the port
			all = append(all, head+r.body)
		}
		return all
	}
	first := sent()
	if !slices.Equal(first, sent()) {
		t.Error("not the same again")
	}
	if len(first) <= 300 || len(slices.Compact(slices.Sorted(slices.Values(first)))) != len(first) {
		t.Errorf("%d requests, some of them the same", len(first))
	}
}

// TestOrder keeps the order with one request at a time.
func TestOrder(t *testing.T) {
	t.Parallel()
	c, rc := newClient(t, answering(ok))
	if _, err := (&Run{Client: c, Deliveries: comments(200)}).Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := collect(t, comments(200))
	for i, r := range rc.received() {
		if r.body != want[i] {
			t.Fatalf("request %d is out of order", i)
		}
		if r.connection != 1 {
			t.Errorf("request %d came on connection %d", i, r.connection)
		}
	}
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		c, _ := newPipedClient(t, func(int, request) string {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second) // of the bubble
			now.Add(-1)
			return ok
		})
		defer c.Close()
		start := time.Now()
		if _, err := (&Run{Client: c, Deliveries: comments(20), Concurrency: 5}).Do(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 4*time.Second || most.Load() != 5 {
			t.Errorf("%d at a time, %s", most.Load(), took)
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		c, _ := newPipedClient(t, func(int, request) string {
			at = append(at, time.Since(start))
			return ok
		})
		defer c.Close()
		if _, err := (&Run{Client: c, Deliveries: comments(5), Rate: 4}).Do(t.Context()); err != nil {
			t.Error(err)
		}
		for i, d := range at {
			if want := time.Duration(i) * 250 * time.Millisecond; d != want {
				t.Errorf("delivery %d after %s, not %s", i, d, want)
			}
		}
	})
}

// TestForgedAccepted tells a receiver that does not check signatures.
func TestForgedAccepted(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, answering(ok))
	var ledger Ledger
	sum, err := (&Run{Client: c, Deliveries: comments(10), Ledger: &ledger, Faults: Faults{BadSignatures: 1}, Retry: true}).Do(t.Context())
	if err != nil || sum.ForgedAccepted != 10 || sum.Accepted != 0 || sum.AsExpected() || ledger.Len() != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestRunFails(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, answering(ok))
	broken := errors.New("broken")
	sum, err := (&Run{Client: c, Deliveries: func(yield func([]byte, error) bool) {
		if yield([]byte("{}"), nil) {
			yield(nil, broken)
		}
	}}).Do(t.Context())
	if !errors.Is(err, broken) || sum == nil {
		t.Errorf("%+v, %v", sum, err)
	}

	ledger := mustOpen(t, t.TempDir()+"/ledger")
	if err := ledger.Close(); err != nil {
		t.Error(err)
	}
	if _, err := (&Run{Client: c, Deliveries: comments(50), Ledger: ledger}).Do(t.Context()); err == nil || !strings.Contains(err.Error(), "ledger") {
		t.Errorf("the ledger cannot be written: %v", err)
	}
	if sum, err := (&Run{Client: &Client{URL: "nowhere"}, Deliveries: comments(1)}).Do(t.Context()); err == nil || sum.Requests != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	run := &Run{Deliveries: comments(5)}
	c, _ := newClient(t, func(n int, _ request) string {
		if got := run.Progress().Accepted; got != n-1 {
			t.Errorf("%d accepted before request %d", got, n)
		}
		return ok
	})
	run.Client = c
	run.Start()
	if sum, err := run.Do(t.Context()); err != nil || sum.Accepted != 5 {
		t.Errorf("%+v, %v", sum, err)
	}
}
