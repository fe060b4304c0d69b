package admin

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/queue"
)

// request is a request whose parameters are known ones.
type request struct {
	*http.Request
	query url.Values
}

func newRequest(r *http.Request, parameters []string) (*request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the parameters cannot be read: %w", err)
	}
	known := append([]string{"store"}, parameters...)
	for name, values := range query {
		if !slices.Contains(known, name) {
			return nil, refuse(http.StatusBadRequest, "there is no parameter %q here; there are: %s", name, strings.Join(known, ", "))
		}
		if len(values) > 1 {
			return nil, refuse(http.StatusBadRequest, "the parameter %s is there twice", name)
		}
		if values[0] == "" {
			return nil, refuse(http.StatusBadRequest, "the parameter %s is empty: leave it out", name)
		}
	}
	return &request{r, query}, nil
}

// parameter returns a parameter, and whether it is there.
func (r *request) parameter(name string) (string, bool) { return r.query.Get(name), r.query.Has(name) }

// id returns the event's number out of the path.
func (r *request) id() (uint64, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil || id == 0 {
		return 0, refuse(http.StatusBadRequest, "%q is not the number of an event", r.PathValue("id"))
	}
	return id, nil
}

// flag returns a parameter that is true or false.
func (r *request) flag(name string) (bool, error) {
	switch text, given := r.parameter(name); {
	case !given, text == "false":
		return false, nil
	case text == "true":
		return true, nil
	default:
		return false, refuse(http.StatusBadRequest, "%s must be true or false: %q", name, text)
	}
}

// The bounds of the rate of a replay, in events per second.
const (
	minRate     = 0.001
	defaultRate = 10
	maxRate     = 100_000
)

// interval returns the time from one event to the next, after the rate.
func (r *request) interval() (time.Duration, error) {
	rate := float64(defaultRate)
	if text, given := r.parameter("rate"); given {
		var err error
		// What is not a number is not in the range either.
		if rate, err = strconv.ParseFloat(text, 64); err != nil || !(rate >= minRate && rate <= maxRate) {
			return 0, refuse(http.StatusBadRequest, "rate must be a number of events per second from %g to %d: %q", minRate, maxRate, text)
		}
	}
	return time.Duration(float64(time.Second) / rate), nil
}

// ParseFilter reads a filter out of the parameters state, field, account, since,
// after, before, order and limit, as they are for the admin API. Others do not
// count. The error is one for the client.
func ParseFilter(query url.Values) (f queue.Filter, err error) {
	if f.State = queue.State(query.Get("state")); f.State != "" && !slices.Contains(states, f.State) {
		return f, refuse(http.StatusBadRequest, "the state %q is none of pending, delivered and dead", f.State)
	}
	f.Field, f.Account = query.Get("field"), query.Get("account")
	if since := query.Get("since"); since != "" {
		if f.Since, err = parseSince(since, time.Now()); err != nil {
			return f, refuse(http.StatusBadRequest, "since: %w", err)
		}
	}
	if f.After, err = number(query, "after", 0, math.MaxUint64); err != nil {
		return f, err
	}
	if f.Before, err = number(query, "before", 0, math.MaxUint64); err != nil {
		return f, err
	}
	switch order := query.Get("order"); order {
	case "", "newest":
	case "oldest":
		f.OldestFirst = true
	default:
		return f, refuse(http.StatusBadRequest, "the order %q is neither newest nor oldest", order)
	}
	limit, err := number(query, "limit", defaultLimit, MaxLimit)
	f.Limit = int(limit)
	return f, err
}

var states = []queue.State{queue.Pending, queue.Delivered, queue.Dead}

// parseSince reads a time as in RFC 3339, or a duration such as 24h or 7d, which
// is so long before now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	ago, err := caddy.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-01-31T08:00:00Z nor a duration such as 24h", text)
	}
	return now.Add(-ago), nil
}

// number returns a parameter that is a whole number from 1 to most.
func number(query url.Values, name string, otherwise, most uint64) (uint64, error) {
	if !query.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(query.Get(name), 10, 64)
	if err != nil || n == 0 || n > most {
		return 0, refuse(http.StatusBadRequest, "%s must be a whole number from 1 to %d: %q", name, most, query.Get(name))
	}
	return n, nil
}
