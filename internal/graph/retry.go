package graph

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// maxAttempts bounds how often one call is tried.
	maxAttempts = 6

	// The first waits before a new attempt; each further one is twice as long.
	transientWait = time.Second
	throttledWait = 15 * time.Second
	exhaustedWait = time.Minute // when a usage header says that nothing is left
)

// call makes a request, and repeats it after failures that pass by themselves.
func (c *Client) call(ctx context.Context, r request, result any) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := ValidateID(r.id); err != nil && (r.id != "" || strings.HasPrefix(r.path, "/")) {
		return err
	}
	budget := cmp.Or(c.MaxWait, time.Minute)
	uncertain := false
	for attempt := 0; ; attempt++ {
		err := c.try(ctx, r, result)
		if err == nil {
			return nil
		}
		uncertain = uncertain || r.method != http.MethodGet && mayHaveHappened(err)
		wait, again := retryWait(err, attempt)
		if !again || wait > budget || ctx.Err() != nil {
			return markUncertain(err, uncertain)
		}
		budget -= wait
		if c.OnWait != nil {
			c.OnWait(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return markUncertain(fmt.Errorf("%w, while waiting to try again after: %w", context.Cause(ctx), err), uncertain)
		}
	}
}

func markUncertain(err error, uncertain bool) error {
	if uncertain {
		return fmt.Errorf("%w (%w)", err, ErrUncertain)
	}
	return err
}

// retryWait returns how long to wait before a call that failed is repeated, and
// whether that may help.
func retryWait(err error, attempt int) (wait time.Duration, again bool) {
	if attempt+1 >= maxAttempts {
		return 0, false
	}
	wait = transientWait
	if refused, ok := errors.AsType[*Error](err); ok {
		switch {
		case !refused.Passes():
			return 0, false
		case refused.Throttled() && refused.RetryAfter > 0:
			return refused.RetryAfter, true
		case refused.Throttled() && refused.usage >= 100:
			wait = exhaustedWait
		case refused.Throttled():
			wait = throttledWait
		}
	} else if unreachable(err) || errors.Is(err, context.Canceled) {
		return 0, false
	}
	wait <<= attempt
	// Spread those who failed at the same time, but never wait less than half.
	return wait/2 + rand.N(wait/2), true
}

// unreachable reports whether the host does not exist or cannot be trusted, which
// waiting does not change.
func unreachable(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	unknown, ok := errors.AsType[*net.DNSError](err)
	return untrusted || ok && unknown.IsNotFound
}

// mayHaveHappened reports whether a call that failed with err can have had its
// effect all the same.
func mayHaveHappened(err error) bool {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.notMeta || refused.Status >= 500 || refused.Status == http.StatusOK || refused.Passes() && !refused.Throttled()
	}
	dial, ok := errors.AsType[*net.OpError](err)
	return !unreachable(err) && !(ok && dial.Op == "dial")
}

// Usage is what the headers of an answer say about Meta's limits. See its "Graph API ›
// Rate Limits".
type Usage struct {
	// App and Business are the highest shares of a limit that are used up, in percent:
	// of one that counts all calls of the app, and of one of the account's business.
	App, Business float64

	// Regain is how long Meta will throttle.
	Regain time.Duration
}

// readUsage reads the usage headers. What cannot be read is left out.
func readUsage(h http.Header) Usage {
	type shares struct {
		Calls   float64 `json:"call_count"`
		CPU     float64 `json:"total_cputime"`
		Time    float64 `json:"total_time"`
		Minutes float64 `json:"estimated_time_to_regain_access"`
	}
	var app shares
	_ = json.Unmarshal([]byte(h.Get("X-App-Usage")), &app)
	var business map[string][]shares
	_ = json.Unmarshal([]byte(h.Get("X-Business-Use-Case-Usage")), &business)
	u := Usage{App: max(app.Calls, app.CPU, app.Time)}
	for _, s := range append(slices.Concat(slices.Collect(maps.Values(business))...), app) {
		// A day is the longest that Meta throttles; more would overflow.
		u.Regain = max(u.Regain, time.Duration(min(s.Minutes, 24*60)*float64(time.Minute)))
		if s != app {
			u.Business = max(u.Business, s.Calls, s.CPU, s.Time)
		}
	}
	return u
}
