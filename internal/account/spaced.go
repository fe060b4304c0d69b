package account

import (
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// calls bounds the calls of this process: one a second.
var calls = rate.NewLimiter(rate.Every(time.Second), 1)

// spaced makes requests no faster than its limiter allows, and none if before, if there
// is one, has an objection.
type spaced struct {
	limiter *rate.Limiter
	next    http.RoundTripper
	before  func() error
}

// RoundTrip implements http.RoundTripper.
func (t *spaced) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.before != nil {
		if err := t.before(); err != nil {
			return nil, err
		}
	}
	if err := t.limiter.Wait(r.Context()); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(r)
}
