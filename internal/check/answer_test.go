package check

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// TestAnswersOfTheApplicationAreToldInWords has an application behind Caddy that
// answers deliveries with something else than 200: Meta counts each of these as
// a failure, and who runs the check must not have to look into a log for why.
func TestAnswersOfTheApplicationAreToldInWords(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status       int
		location     string
		text, advice string
	}{
		"created":           {http.StatusCreated, "", "the application answered 201; Meta counts that as a failure", "accept_2xx"},
		"no content":        {http.StatusNoContent, "", "the application answered 204; Meta counts that as a failure", "accept_2xx"},
		"login":             {http.StatusFound, "/login?next=x", "the application answered 302 to /login; Meta counts that as a failure", "no redirect. To a login"},
		"other host":        {http.StatusMovedPermanently, "https://www.example.com/webhooks", "answered 301 to https://www.example.com/webhooks; Meta", "X-Forwarded-Proto"},
		"CSRF token":        {http.StatusUnprocessableEntity, "", "the application answered 422;", "CSRF"},
		"host":              {http.StatusBadRequest, "", "the application answered 400;", "Django"},
		"own signature":     {http.StatusUnauthorized, "", "the application answered 401;", "with another secret"},
		"no login":          {http.StatusForbidden, "", "the application answered 403;", "asks for a login"},
		"no such route":     {http.StatusNotFound, "", "the application answered 404;", "no route for this path"},
		"GET only":          {http.StatusMethodNotAllowed, "", "the application answered 405;", "no route for POST"},
		"exception":         {http.StatusInternalServerError, "", "the application answered 500;", "instagram_queue"},
		"application is up": {http.StatusServiceUnavailable, "", "the application answered 503;", "The application's log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.Graph = nil
			c.behind(func(w http.ResponseWriter) {
				w.Header().Set("Via", "1.1 Caddy")
				if test.location != "" {
					w.Header().Set("Location", test.location)
				}
				w.WriteHeader(test.status)
			})
			r := c.run()
			r.expect(t, []string{DeliverySigned}, nil)
			f := r.find(t, DeliverySigned)
			if !strings.Contains(f.Text, test.text) || !strings.Contains(f.Advice, test.advice) {
				t.Errorf("it says %q %q", f.Text, f.Advice)
			}
			if strings.Contains(f.Text+f.Advice, "next=x") {
				t.Errorf("a query stands in %q", f.Text)
			}
		})
	}
}

// behind answers what the real handler lets pass.
func (c *fixture) behind(answer func(http.ResponseWriter)) { c.serve.(*receiver).answer = answer }

// TestCaddysOwnAnswerIsNotTakenForTheApplications looks at the same statuses
// without the header by which Caddy marks what it passes on.
func TestCaddysOwnAnswerIsNotTakenForTheApplications(t *testing.T) {
	t.Parallel()
	r := &run{Checker: &Checker{}}
	for status, says := range map[int]string{
		http.StatusBadGateway:         "does not reach what is behind it",
		http.StatusServiceUnavailable: "No handler after instagram_webhook takes the delivery",
		http.StatusNotFound:           "Nothing serves this path",
	} {
		e := exchange{Outcome: simulate.Outcome{Status: status, Header: http.Header{"Server": {"Caddy"}, "Via": {"1.1 Caddy"}}}} // one Caddy before another
		if got := r.adviceFor(e); !strings.Contains(got, says) {
			t.Errorf("%d: %q", status, got)
		}
	}
}

// TestNoAdviceToPutAQueueWhereThereIsOne looks at advice for a config with a queue.
func TestNoAdviceToPutAQueueWhereThereIsOne(t *testing.T) {
	t.Parallel()
	r := &run{Checker: &Checker{}, ctx: t.Context(), setup: &setup{queued: true}}
	r.slowest.Latency = meta.AnswerWithin
	r.time()
	advice := r.report.Findings[0].Advice + r.adviceFor(exchange{Outcome: simulate.Outcome{Status: http.StatusServiceUnavailable}}) + r.adviceForNoAnswer(context.DeadlineExceeded)
	if strings.Contains(advice, "put instagram_queue") || !strings.Contains(advice, "disk.sync") || !strings.Contains(advice, "The queue cannot store") {
		t.Errorf("%q", advice)
	}
}
