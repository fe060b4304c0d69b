package queue

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Pending returns an error that wraps ErrFull if a limit is exceeded: events and
// bytes would be pending for a consumer with the delivery, wait and waiting are without
// it.
func (a *Admission) Pending(consumer string, events, bytes, wait, waiting int64) error {
	if a.MaxEvents > 0 && events > a.MaxEvents {
		return fmt.Errorf("%w: with this delivery %s events would wait%s (now: %s), max_pending is %s",
			ErrFull, humanize.Comma(events), forWhom(consumer), humanize.Comma(wait), humanize.Comma(a.MaxEvents))
	}
	if a.MaxBytes > 0 && bytes > a.MaxBytes {
		return fmt.Errorf("%w: with this delivery events of %s would wait%s (now: %s), max_pending is %s",
			ErrFull, size(bytes), forWhom(consumer), size(waiting), size(a.MaxBytes))
	}
	return nil
}

// forWhom names a consumer, unless it needs no name.
func forWhom(consumer string) string {
	if consumer == DefaultConsumer {
		return ""
	}
	return " for the consumer " + consumer
}

// Space returns an error that wraps ErrFull if too little is free: needed is what the
// delivery takes, and what it takes to settle all that waits.
func (a *Admission) Space(free, needed int64) error {
	switch {
	case free-needed >= a.MinFree:
		return nil
	case free < a.MinFree:
		return fmt.Errorf("%w: %s free, min_free_space is %s", ErrFull, size(free), size(a.MinFree))
	default:
		return fmt.Errorf("%w: %s free, of which the delivery and what waits need %s, and min_free_space is %s",
			ErrFull, size(free), size(needed), size(a.MinFree))
	}
}

// size returns bytes as people read them.
func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
