package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/queue"
	_ "github.com/caddy-instagram/webhooks/matcher"
)

func init() {
	caddy.RegisterModule(stubMatcher{})
}

// stubMatcher asks a function of the test.
type stubMatcher struct {
	Key string `json:"key,omitempty"`
}

func (stubMatcher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.stub", New: func() caddy.Module { return new(stubMatcher) }}
}

func (m stubMatcher) MatchWithError(r *http.Request) (bool, error) {
	match, _ := stubMatchers.Load(m.Key)
	return match.(func(*http.Request) (bool, error))(r)
}

var stubMatchers sync.Map // of func(*http.Request) (bool, error) by key

// newStubMatcher returns the config of a matcher that asks the function.
func newStubMatcher(t *testing.T, match func(*http.Request) (bool, error)) string {
	stubMatchers.Store(t.Name(), match)
	t.Cleanup(func() { stubMatchers.Delete(t.Name()) })
	return fmt.Sprintf(`{"stub":{"key":%q}}`, t.Name())
}

// matching gives a consumer matchers, of which one set must match.
func matching(sets ...string) func(*Named) {
	return func(c *Named) {
		if err := json.Unmarshal([]byte("["+strings.Join(sets, ",")+"]"), &c.MatcherSetsRaw); err != nil {
			panic(err)
		}
	}
}

func TestEachConsumerGetsWhatMatches(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		account, text, either, rest := newApplication(q.T, "account"), newApplication(q.T, "text"), newApplication(q.T, "either"), newApplication(q.T, "rest")
		h, c := q.runs(
			account.consumer(matching(`{"instagram":{"account":["179"]}}`)),
			text.consumer(matching(`{"expression":"{http.request.body}.contains('5.1')"}`), func(c *Named) { c.Fields = []string{"messages"} }),
			either.consumer(matching(`{"instagram":{"field":["mentions"]}}`, `{"header":{"Ce-Subject":["5.0"]}}`, `{"expression":"{instagram.field} == 'unparsed'"}`)),
			rest.consumer(func(c *Named) { c.Fields = []string{"comments"} }),
		)
		q.accept(h, stubSeveral)
		account.expect(q.T, "instagram/179/comments/4", "instagram/179/of_tomorrow/")
		text.expect(q.T)
		either.expect(q.T, "instagram/178/mentions/2/3")
		rest.expect(q.T, "instagram/178/comments/1", "instagram/179/comments/4")

		for range 2 { // the second is a duplicate
			q.accept(h, message("5", 1))
			q.accept(h, message("5", 2)) // for nobody
		}
		account.expect(q.T)
		text.expect(q.T, "instagram/178/messages/5.1")
		either.expect(q.T)
		rest.expect(q.T)

		// What could not be taken apart must match too, if there is a matcher.
		q.accept(h, stubUnparsed)
		for app, want := range map[*application]int{account: 0, text: 0, either: 1, rest: 1} {
			if n := len(app.got(q.T)); n != want {
				q.Errorf("%s got %d events of a delivery that could not be split, want %d", app.name, n, want)
			}
		}
		if all, err := q.store.List(q.Context(), queue.Filter{}); err != nil || len(all) != 8 {
			q.Errorf("%d are stored, counted for each consumer, want 8: %v", len(all), err)
		}
		c.unload()
	})
}

// TestMatchersSeeWhatIsDelivered compares the request that a matcher is asked with to that
// of the attempt.
func TestMatchersSeeWhatIsDelivered(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		var seen []string
		matcher := newStubMatcher(q.T, func(r *http.Request) (bool, error) {
			repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
			known := repl.ReplaceAll("{instagram.field} {instagram.id} {instagram.count} {http.request.local} {http.request.uri} "+
				"{http.request.scheme} {http.request.body}", "none")
			body, err := io.ReadAll(r.Body)
			d := event.FromContext(r.Context())
			seen = append(seen, fmt.Sprintln(r.Method, r.URL, r.Host, r.RemoteAddr, r.TLS != nil, r.ContentLength, r.Header, string(body), err,
				d.Secret, d.Signer.Sign(d.Body), known, caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey),
				caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey)))
			return true, nil
		})
		app := newApplication(q.T, "app")
		h, c := q.runs(app.consumer(matching(matcher), func(c *Named) {
			var again Named
			matching(matcher)(&again)
			c.Routes[0].MatcherSetsRaw = again.MatcherSetsRaw
		}))
		for _, body := range []string{stubComment, stubMessage, stubButton, stubUnparsed} {
			r := cameIn("10.0.0.5:4711", "198.51.100.7", true, http.Header{"X-Forwarded-For": {"198.51.100.7"}, "Cookie": {"a=b"}})
			r.URL.RawQuery = "x=1"
			if _, err := serveStubTo(h, stubDelivery(body), r); err != nil {
				q.Error(err)
			}
			if n := len(app.got(q.T)); n != 1 || len(seen) != 2 {
				q.Fatalf("%q: %d attempts, and the matcher was asked %d times", body, n, len(seen))
			}
			if seen[0] != seen[1] || !strings.Contains(seen[0], "X-Instagram-Attempt:[1]") || !strings.Contains(seen[0], "198.51.100.7 true") {
				q.Errorf("%q: it was asked with\n%s\nand then with\n%s", body, seen[0], seen[1])
			}
			seen = nil
		}
		c.unload()
	})
}

// TestMatcherThatFails refuses the delivery: nobody gets any of it before Meta sends it again.
func TestMatcherThatFails(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		var failure error
		matcher := newStubMatcher(q.T, func(*http.Request) (bool, error) { return true, failure })
		bot, all := newApplication(q.T, "bot"), newApplication(q.T, "all")
		h, c := q.runs(all.consumer(), bot.consumer(matching(matcher), func(c *Named) { c.Fields = []string{"mentions"} }))
		failure = errors.New("what people wrote")
		d := stubDelivery(stubSeveral)
		w, err := serveStub(h, d)
		if got := stubStatus(q.T, err); got != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || d.Accepted() || d.Failure() == nil {
			q.Errorf("got %d, %v, accepted: %t, %v", got, w.Header(), d.Accepted(), d.Failure())
		}
		if text := err.Error(); !strings.Contains(text, "the matcher of the consumer bot failed") || strings.Contains(text, failure.Error()) {
			q.Errorf("the error is %s", text)
		}
		if since := h.queue.store.RefusingSince(); !since.IsZero() {
			q.Errorf("the store refuses since %s", since)
		}
		all.expect(q.T)
		bot.expect(q.T)
		q.accept(h, message("5", 0)) // it is not asked
		all.expect(q.T, "instagram/178/messages/5.0")

		failure = nil
		q.accept(h, stubSeveral)
		bot.expect(q.T, "instagram/178/mentions/2/3")
		if n := len(all.got(q.T)); n != 4 {
			q.Errorf("the other one got %d events, want 4", n)
		}
		c.unload()
	})
}

// TestReloadChangesMatchers accepts with the old config while the new one runs already: who
// is in both gets what matches in one of them.
func TestReloadChangesMatchers(t *testing.T) {
	t.Parallel()
	withMemory(t, func(q *queueTest) {
		bot := newApplication(q.T, "bot")
		comments, mentions := matching(`{"instagram":{"field":["comments"]}}`), matching(`{"instagram":{"field":["mentions"]}}`)
		oldHandler, old := q.runs(bot.consumer(comments))
		newHandler, next := q.runs(bot.consumer(mentions))
		q.accept(oldHandler, stubSeveral)
		bot.expect(q.T, "instagram/178/comments/1", "instagram/178/mentions/2/3", "instagram/179/comments/4")
		q.accept(newHandler, stubComment)
		bot.expect(q.T, "instagram/178/comments/179")
		old.unload()
		q.accept(newHandler, strings.ReplaceAll(stubSeveral, "178", "177"))
		bot.expect(q.T, "instagram/177/mentions/2/3")
		next.unload()
	})
}
