package live

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestReaders(t *testing.T) {
	t.Parallel()
	f := New()
	f.Publish(Event{Kind: Delivery, Status: 1}) // nobody watches
	r := read(t, f, 0)
	if n, missed, last := take(r); n != nil || missed != 0 || last != 0 {
		t.Errorf("at first: %v, %d missed, last is %d", n, missed, last)
	}
	publish(f, 1, 3)
	if n, missed, last := take(r); fmt.Sprint(n) != "[1 2 3]" || missed != 0 || last != 3 {
		t.Errorf("events: %v, %d missed, last is %d", n, missed, last)
	}
	select {
	case <-r.Wake():
	default:
		t.Error("the reader was not woken")
	}
	// A reader that has left, as at a reload, goes on where it was.
	r.Close()
	publish(f, 4, 5)
	r = read(t, f, 3)
	if n, missed, _ := take(r); fmt.Sprint(n) != "[4 5]" || missed != 0 {
		t.Errorf("after the return: %v, %d missed", n, missed)
	}
	publish(f, 6, 6+keptEvents)
	if n, missed, last := take(r); missed != 1 || len(n) != 10 || n[0] != 7 || last != 16 {
		t.Errorf("slow reader: %v, %d missed, last is %d", n, missed, last)
	}
	// After a reload before the first event.
	fresh := New()
	read(t, fresh, Now).Close()
	publish(fresh, 1, 2)
	if n, missed, _ := take(read(t, fresh, 0)); fmt.Sprint(n) != "[1 2]" || missed != 0 {
		t.Errorf("from the beginning: %v, %d missed", n, missed)
	}
	// The number is that of a process before this one.
	if n, missed, last := take(read(t, f, 1<<40)); n != nil || missed != 0 || last != 6+keptEvents {
		t.Errorf("after a restart: %v, %d missed, last is %d", n, missed, last)
	}
}

func TestTooManyReaders(t *testing.T) {
	t.Parallel()
	f := New()
	var readers []*Reader
	for range maxReaders {
		readers = append(readers, read(t, f, 0))
	}
	if _, err := f.Read(0); !errors.Is(err, ErrReaders) {
		t.Errorf("one more: %v, want ErrReaders", err)
	}
	readers[0].Close()
	readers[0].Close()
	read(t, f, 0)
	if _, err := f.Read(0); !errors.Is(err, ErrReaders) {
		t.Errorf("one more after a Close: %v, want ErrReaders", err)
	}
}

// Whoever publishes waits for no reader, and pays nothing if there is none.
func TestPublishing(t *testing.T) {
	f := New()
	consumer, secret, now := f.Consumer("crm"), f.AppSecret("instagram"), time.Now()
	f.Came(now, "1", "messages")
	f.Refuse(now, "wrong", 401, errors.New("no"), "192.0.2.1")
	if allocations := testing.AllocsPerRun(100, func() {
		f.Publish(Event{Kind: Attempt})
		f.Accepted(now)
		f.Came(now, "1", "messages")
		f.Refuse(now, "wrong", 401, errNever{}, "192.0.2.1")
		consumer.Delivered(now)
		secret.Set(now)
	}); allocations != 0 {
		t.Errorf("%g allocations, want none", allocations)
	}

	r := read(t, f, 0)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { publish(f, 1, 1000) })
	}
	group.Wait()
	if n, missed, _ := take(r); len(n) != 10 || missed != 0 {
		t.Errorf("%v, %d missed", n, missed)
	}
}

// errNever is an error that must not become text.
type errNever struct{}

func (errNever) Error() string { panic("made to text") }

func TestMinutes(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 31, 8, 0, 30, 0, time.UTC)
	f := &Feed{figures: figures{began: minuteOf(start)}}
	crm := f.Consumer("crm")
	f.Accepted(start)
	f.Accepted(start.Add(29 * time.Second))
	f.Failed(start.Add(time.Minute))
	crm.Delivered(start)
	crm.Failed(start, "refused")
	check := func(now time.Time, accepted, refused, delivered, failed string) {
		t.Helper()
		c := f.Counts(now)
		of := c.Consumers["crm"]
		if got := fmt.Sprintf("%v %v %v %v", c.Accepted, c.Refused, of.Delivered, of.Failed); got != strings.Join([]string{accepted, refused, delivered, failed}, " ") {
			t.Errorf("at %v: %s", now, got)
		}
	}
	check(start, "[2]", "[0]", "[1]", "[1]")
	check(start.Add(time.Minute), "[2 0]", "[0 1]", "[1 0]", "[1 0]")
	if end := f.Counts(start).End; !end.Equal(start.Add(30 * time.Second)) {
		t.Errorf("the end is %v", end)
	}
	// A day later the first minute is over, and is counted anew.
	f.Accepted(start.Add(24 * time.Hour))
	c := f.Counts(start.Add(24 * time.Hour))
	if n := len(c.Accepted); n != keptMinutes || c.Accepted[n-1] != 1 || c.Accepted[0] != 0 || c.Refused[0] != 1 {
		t.Errorf("a day later: %d minutes, %d, %d, %d", n, c.Accepted[n-1], c.Accepted[0], c.Refused[0])
	}
	if last := f.LastError("crm"); last == nil || last.Error != "refused" || !last.Time.Equal(start) {
		t.Errorf("the last error is %v", last)
	}
	if last := f.LastError("bot"); last != nil {
		t.Errorf("the last error of nobody is %v", last)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f, now := New(), time.Now()
	refuse := func(reason, address string, detail string) {
		f.Refuse(now, reason, 401, errors.New(detail), address)
	}
	refuse("a", "1", "first")
	refuse("a", "2", "other address")
	refuse("b", "1", "other reason")
	refuse("a", "1", "within the second")
	all := f.Refusals()
	if len(all) != 3 || all[0].Reason != "a" || all[0].ClientIP != "1" || all[0].Count != 2 || all[0].Detail != "first" || all[2].ClientIP != "2" {
		t.Errorf("refusals: %+v", all)
	}
	now = now.Add(time.Second)
	refuse("a", "1", "a second later\x1b[31m"+strings.Repeat("x", 2*maxDetail))
	if all = f.Refusals(); !strings.HasPrefix(all[0].Detail, "a second later [31mxx") || len(all[0].Detail) > maxDetail+len("…") {
		t.Errorf("the detail is %q", all[0].Detail)
	}
	for i := range maxRefusals {
		refuse("flood", fmt.Sprint(i), "no")
	}
	if all = f.Refusals(); len(all) != maxRefusals || all[0].ClientIP != fmt.Sprint(maxRefusals-1) || all[maxRefusals-1].ClientIP != "0" {
		t.Errorf("after a flood: %d, %+v", len(all), all[maxRefusals-1])
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	f, now := New(), time.Now()
	f.Came(now, "", "messages")
	f.Came(now, strings.Repeat("1", maxName+1), "messages")
	if all := f.Accounts(); len(all) != 0 {
		t.Errorf("no ids: %v", all)
	}
	for i := range maxAccounts + 1 {
		f.Came(now.Add(time.Duration(i)), fmt.Sprint(i), strings.Repeat("f", 100))
	}
	f.Came(now.Add(time.Hour), "7", "comments")
	all := f.Accounts()
	if len(all) != maxAccounts || all[0].Account != "7" || all[0].Field != "comments" || len(all[1].Field) != maxName || all[maxAccounts-1].Account != "1" {
		t.Errorf("%d accounts: %v … %v", len(all), all[:2], all[len(all)-1])
	}
}

func TestAppSecrets(t *testing.T) {
	t.Parallel()
	f, now := New(), time.Now()
	f.AppSecret("old")
	f.AppSecret("new").Set(now)
	f.AppSecret("new") // as a reload does
	if all := f.AppSecrets(); len(all) != 2 || all[0].Name != "new" || all[0].Last.UnixMicro() != now.UnixMicro() || !all[1].Last.IsZero() {
		t.Errorf("app secrets: %+v", all)
	}
	for i := range 2 * maxSecrets {
		f.AppSecret(fmt.Sprint(i)).Set(now)
	}
	if n := len(f.AppSecrets()); n != maxSecrets {
		t.Errorf("%d app secrets, want %d", n, maxSecrets)
	}
}

func read(t *testing.T, f *Feed, after uint64) *Reader {
	t.Helper()
	r, err := f.Read(after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// take takes up to ten events, and returns their numbers.
func take(r *Reader) (numbers []uint64, missed, last uint64) {
	var batch [10]Event
	n, missed, last := r.Take(batch[:])
	for _, e := range batch[:n] {
		numbers = append(numbers, e.Number)
	}
	return numbers, missed, last
}

func publish(f *Feed, from, to int) {
	for range to - from + 1 {
		f.Publish(Event{Kind: Delivery})
	}
}

// TestConsumerIsShared has a config begin to use a consumer that another one uses already.
func TestConsumerIsShared(t *testing.T) {
	t.Parallel()
	feed := New()
	first := feed.Consumer("crm")
	var second *Consumer
	var wg sync.WaitGroup
	wg.Go(func() { second = feed.Consumer("crm") })
	first.Failed(time.Now(), "why")
	wg.Wait()
	if last := feed.LastError("crm"); last == nil || last.Error != "why" {
		t.Error("the consumer is not of its feed")
	}
	if second != first {
		t.Error("there are two consumers of a name")
	}
}
