package outage

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// told collects what an Outage tells.
type told struct {
	Outage
	began int
	lasts []time.Duration
	ended []time.Duration
}

func (o *told) fail() {
	o.Fail(func() { o.began++ }, func(lasted time.Duration) { o.lasts = append(o.lasts, lasted) })
}

func (o *told) succeed() {
	o.Recover(func(lasted time.Duration) { o.ended = append(o.ended, lasted) })
}

// mustHave checks what was told since the last call.
func (o *told) mustHave(t *testing.T, began int, lasts, ended []time.Duration) {
	t.Helper()
	synctest.Wait()
	o.mu.Lock() // under which it is told
	defer o.mu.Unlock()
	if o.began != began || !slices.Equal(o.lasts, lasts) || !slices.Equal(o.ended, ended) {
		t.Errorf("told: began %d times, lasts %v, ended after %v; want %d, %v, %v", o.began, o.lasts, o.ended, began, lasts, ended)
	}
	o.began, o.lasts, o.ended = 0, nil, nil
}

func TestOutageIsToldBeforeMetaAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := new(told)
		start := time.Now()
		o.fail()
		o.mustHave(t, 1, nil, nil)
		time.Sleep(5*time.Minute - 1)
		o.fail()
		o.mustHave(t, 0, nil, nil)
		time.Sleep(time.Nanosecond)
		o.mustHave(t, 0, []time.Duration{5 * time.Minute}, nil)
		time.Sleep(7*time.Minute - 1)
		o.mustHave(t, 0, nil, nil)
		time.Sleep(time.Nanosecond)
		o.mustHave(t, 0, []time.Duration{12 * time.Minute}, nil)
		if got := o.Since(); !got.Equal(start) {
			t.Errorf("since %v, want %v", got, start)
		}
		time.Sleep(time.Hour)
		o.fail()
		o.succeed()
		o.mustHave(t, 0, nil, []time.Duration{72 * time.Minute})
		if got := o.Since(); !got.IsZero() {
			t.Errorf("since %v after the end", got)
		}
	})
}

// TestOutageGoesOnElsewhere has another Outage take over between the warnings.
func TestOutageGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := new(told), new(told)
		first.fail()
		time.Sleep(6 * time.Minute)
		second.Continue(first.Since())
		first.Stop()
		if since := second.Since(); !since.IsZero() {
			t.Errorf("it lasts since %s, and nothing has failed", since)
		}
		time.Sleep(time.Minute)
		second.fail()
		time.Sleep(5 * time.Minute)
		second.mustHave(t, 0, []time.Duration{12 * time.Minute}, nil)
		second.succeed()
		second.mustHave(t, 0, nil, []time.Duration{12 * time.Minute})
		first.mustHave(t, 1, []time.Duration{5 * time.Minute}, nil)

		third := new(told) // what it continues ends with a success
		third.Continue(time.Now().Add(-time.Minute))
		time.Sleep(time.Hour)
		third.succeed()
		third.succeed()
		third.mustHave(t, 0, nil, []time.Duration{61 * time.Minute})
		third.fail()
		third.mustHave(t, 1, nil, nil)
		third.Stop()
	})
}

// TestSuccessEndsAnOutage checks that failures with successes between them are
// no outage, however many there are.
func TestSuccessEndsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := new(told)
		o.succeed()
		o.mustHave(t, 0, nil, nil)
		for range 10 {
			o.fail()
			time.Sleep(4 * time.Minute)
			o.succeed()
			o.succeed()
			o.mustHave(t, 1, nil, []time.Duration{4 * time.Minute})
		}
		time.Sleep(time.Hour)
		o.mustHave(t, 0, nil, nil)
	})
}

// TestStoppedOutageIsSilent checks that the log of a config that has ended gets
// no more lines.
func TestStoppedOutageIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := new(told)
		o.fail()
		o.Stop()
		o.succeed()
		o.fail() // a request that was under way
		time.Sleep(time.Hour)
		o.mustHave(t, 1, nil, nil)
	})
}
