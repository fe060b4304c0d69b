package queue

import (
	"errors"
	"time"
)

// The pauses between two steps of forgetting what is no longer to be kept.
const (
	expireInterval = time.Minute            // when there is no more of it
	expirePause    = 100 * time.Millisecond // at least, when there is
)

// expire forgets in small steps what is no longer to be kept. It leaves the
// Store to others at least half of the time.
func (d *Dispatcher) expire() {
	pause := expirePause
	for sleep(d.leasing, pause) {
		begin := time.Now()
		more, err := d.store.Expire(d.leasing, d.policy.Retention)
		switch {
		case errors.Is(err, ErrClosed):
			return
		case err != nil && d.leasing.Err() == nil:
			d.logStoreError("expiring", err)
		}
		pause = expireInterval
		if more && err == nil {
			pause = max(expirePause, time.Since(begin))
		}
	}
}
