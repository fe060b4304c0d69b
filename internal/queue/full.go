package queue

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Pending returns an error that wraps ErrFull if a limit is exceeded: events and
// bytes would be pending with the delivery, wait and waiting are without it.
func (a *Admission) Pending(events, bytes, wait, waiting int64) error {
	if a.MaxEvents > 0 && events > a.MaxEvents {
		return fmt.Errorf("%w: with this delivery %s events would wait (now: %s), max_pending is %s",
			ErrFull, humanize.Comma(events), humanize.Comma(wait), humanize.Comma(a.MaxEvents))
	}
	if a.MaxBytes > 0 && bytes > a.MaxBytes {
		return fmt.Errorf("%w: with this delivery events of %s would wait (now: %s), max_pending is %s",
			ErrFull, size(bytes), size(waiting), size(a.MaxBytes))
	}
	return nil
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
