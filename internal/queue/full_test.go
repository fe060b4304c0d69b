package queue

import (
	"errors"
	"testing"
)

// TestErrorsOfAFullQueueNameTheOption keeps operators from counting the digits of
// bytes, and from guessing which option refuses.
func TestErrorsOfAFullQueueNameTheOption(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	space := Admission{MinFree: 100 * mib}
	pending := Admission{MaxEvents: 1_000_000, MaxBytes: 1 << 30}
	for _, c := range []struct {
		err  error
		want string
	}{
		{space.Space(81*mib, mib), "the queue is full: 81 MiB free, min_free_space is 100 MiB"},
		{space.Space(-1, mib), "the queue is full: 0 B free, min_free_space is 100 MiB"},
		{space.Space(102*mib, 3*mib), "the queue is full: 102 MiB free, of which the delivery and what waits need 3.0 MiB, and min_free_space is 100 MiB"},
		{space.Space(103*mib, 3*mib), ""},
		{new(Admission).Space(mib, 2*mib), "the queue is full: 1.0 MiB free, of which the delivery and what waits need 2.0 MiB, and min_free_space is 0 B"},
		{pending.Pending(DefaultConsumer, 1_000_007, 5, 999_990, 3), "the queue is full: with this delivery 1,000,007 events would wait (now: 999,990), max_pending is 1,000,000"},
		{pending.Pending("bot", 1_000_007, 5, 999_990, 3), "the queue is full: with this delivery 1,000,007 events would wait for the consumer bot (now: 999,990), max_pending is 1,000,000"},
		{pending.Pending("bot", 1_000_000, 1<<30+1<<28, 7, 1<<30-1<<28), "the queue is full: with this delivery events of 1.3 GiB would wait for the consumer bot (now: 768 MiB), max_pending is 1.0 GiB"},
		{pending.Pending("bot", 1_000_000, 1<<30, 7, 1<<20), ""},
		{new(Admission).Pending("bot", 1<<40, 1<<60, 1, 1), ""},
	} {
		if c.want == "" {
			if c.err != nil {
				t.Errorf("refused: %v", c.err)
			}
			continue
		}
		if !errors.Is(c.err, ErrFull) || c.err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", c.err, c.want)
		}
	}
}
