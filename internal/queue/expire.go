package queue

import (
	"errors"
	"time"
)

// The pauses between two steps of expiry.
const (
	expireInterval = time.Minute            // after the last step
	expirePause    = 100 * time.Millisecond // at least, between steps
)

// expire forgets in small steps what is no longer to be kept. It uses the Store for
// at most half of the time.
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
