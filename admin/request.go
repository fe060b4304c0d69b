package admin

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// request is a request whose parameters and id were checked.
type request struct {
	*http.Request
	query    url.Values
	consumer string // empty: all of them
	id       uint64 // of the event, if the path has one

	store string // its name
	log   *zap.Logger
}

// maxForm bounds parameters in the body of a request, in bytes.
const maxForm = 64 << 10

// newRequest checks a request. Each of its parameters must be store, by or one of those
// named, which are separated by spaces, and have one value. Those of a request to forget
// somebody may be in the body, as a form: Caddy does not log that.
func newRequest(r *http.Request, parameters string) (*request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err == nil && strings.HasSuffix(r.URL.Path, "/forget") {
		r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
		err = r.ParseForm()
		query = r.Form
	}
	if err != nil {
		return nil, badRequest("the parameters cannot be read: %w", err)
	}
	known := strings.Fields("store by " + parameters)
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return nil, badRequest("there is no parameter %q here; there are: %s", name, strings.Join(known, ", "))
		case len(values) > 1:
			return nil, badRequest("the parameter %s is there twice", name)
		case values[0] == "":
			return nil, badRequest("the parameter %s is empty: leave it out", name)
		}
	}
	req := &request{Request: r, query: query, consumer: query.Get("consumer")}
	if id := r.PathValue("id"); id != "" {
		if req.id, err = strconv.ParseUint(id, 10, 64); err != nil || req.id == 0 {
			return nil, badRequest("%q is not the number of an event", id)
		}
	}
	return req, nil
}

// flag returns a parameter that is true or false.
func (r *request) flag(name string) (bool, error) {
	switch text := r.query.Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badRequest("%s must be true or false: %q", name, text)
	}
}

// number returns a parameter that is a whole number from 1 to most, or 0 if it is missing.
func (r *request) number(name string, most uint64) (uint64, error) {
	text := r.query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || n > most {
		return 0, badRequest("%s must be a whole number from 1 to %d: %q", name, most, text)
	}
	return n, nil
}

// The bounds of the rate of a replay, in events per second.
const (
	minRate     = 0.001
	defaultRate = 10
	maxRate     = 100_000
)

// interval returns the time from one event to the next, by the parameter rate.
func (r *request) interval() (time.Duration, error) {
	text := r.query.Get("rate")
	if text == "" {
		return time.Second / defaultRate, nil
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate >= minRate && rate <= maxRate) { // NaN is in no range
		return 0, badRequest("rate must be a number of events per second from %g to %d: %q", minRate, maxRate, text)
	}
	return time.Duration(float64(time.Second) / rate), nil
}

// How many events one answer lists.
const (
	defaultLimit = 100

	// MaxLimit is the most.
	MaxLimit = 1000
)

// filter returns what selects events.
func (r *request) filter() (f queue.Filter, err error) {
	f.Consumer, f.Field, f.Account = r.consumer, r.query.Get("field"), r.query.Get("account")
	f.Conversation, f.Error = r.query.Get("conversation"), r.query.Get("cause")
	states := []queue.State{"", queue.Pending, queue.Delivered, queue.Dead, queue.Erased}
	if f.State = queue.State(r.query.Get("state")); !slices.Contains(states, f.State) {
		return f, badRequest("the state %q is none of pending, delivered, dead and erased", f.State)
	}
	if f.Since, err = parseSince(r.query.Get("since"), time.Now()); err != nil {
		return f, err
	}
	if f.After, err = r.number("after", math.MaxUint64); err != nil {
		return f, err
	}
	if f.Before, err = r.number("before", math.MaxUint64); err != nil {
		return f, err
	}
	order := r.query.Get("order")
	if f.OldestFirst = order == "oldest"; !f.OldestFirst && order != "" && order != "newest" {
		return f, badRequest("the order %q is neither newest nor oldest", order)
	}
	limit, err := r.number("limit", MaxLimit)
	f.Limit = int(cmp.Or(limit, defaultLimit))
	return f, err
}

// selected returns the events that a request is to change, and whether they are only to be
// counted. A request for events in all states is refused.
func (r *request) selected(store Store) (s *search, dryRun bool, err error) {
	if s, err = r.search(store); err != nil {
		return nil, false, err
	}
	if s.filter.State == "" {
		return nil, false, badRequest("the parameter state is missing: dead, delivered or pending")
	}
	dryRun, err = r.flag("dry_run")
	return s, dryRun, err
}

// parseSince reads a time as in RFC 3339, or a duration such as 24h or 7d, which is
// counted back from now.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	ago, err := caddy.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, badRequest("since: %q is neither a time such as 2026-01-31T08:00:00Z nor a duration such as 24h", text)
	}
	return now.Add(-ago), nil
}
