package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a Store that remembers with what it was settled.
type recorder struct {
	Store
	outcomes []Outcome
}

func (s *recorder) Settle(ctx context.Context, e *Event, o Outcome) error {
	s.outcomes = append(s.outcomes, o)
	return s.Store.Settle(ctx, e, o)
}

// TestHistory shows what the store learns of an attempt.
func TestHistory(t *testing.T) {
	t.Parallel()
	const later = 2 * time.Second
	say := func(status int, text string) Backend {
		return func(w http.ResponseWriter, _ *http.Request) error {
			time.Sleep(later)
			w.WriteHeader(status)
			for part := range strings.SplitAfterSeq(text, " ") {
				_, _ = io.WriteString(w, part)
			}
			return nil
		}
	}
	wait := func(then Backend) Backend {
		return func(w http.ResponseWriter, r *http.Request) error { hang(w, r); return then(w, r) }
	}
	long := strings.Repeat("abc ", 1000)
	const timedOut = "timeout after 30s"
	for name, c := range map[string]struct {
		backend Backend
		want    Attempt // without the time of its end
	}{
		"delivered":      {say(200, "thank you"), Attempt{Took: later, Status: 200, Answer: []byte("thank you")}},
		"a long answer":  {say(202, long), Attempt{Took: later, Status: 202, Answer: []byte(long[:1024])}},
		"an empty one":   {say(204, ""), Attempt{Took: later, Status: 204}},
		"failed":         {say(500, "no\x00database\n"), Attempt{Took: later, Status: 500, Error: "500: no database", Answer: []byte("no\x00database\n")}},
		"a long failure": {say(503, long), Attempt{Took: later, Status: 503, Error: "503: " + strings.TrimSpace(long[:256]), Answer: []byte(long[:1024])}},
		"a handler fails": {func(http.ResponseWriter, *http.Request) error { return failed(502, errors.New("connection refused")) },
			Attempt{Status: 502, Error: "502: connection refused"}},
		"no answer": {func(http.ResponseWriter, *http.Request) error { return nil }, Attempt{Error: "there was no answer"}},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		},
			Attempt{Status: 200, Error: "200: the answer broke off after 4 bytes", Answer: []byte("half")}},
		"panics":          {func(http.ResponseWriter, *http.Request) error { panic("oh no") }, Attempt{Error: "panic: oh no"}},
		"timeout":         {wait(say(504, "too late")), Attempt{Took: 30*time.Second + later, Error: timedOut}},
		"late, but whole": {wait(say(200, "done")), Attempt{Took: 30*time.Second + later, Status: 200, Answer: []byte("done")}},
		"never returns":   {wait(func(http.ResponseWriter, *http.Request) error { time.Sleep(40 * time.Second); return nil }), Attempt{Took: 30*time.Second + returnTimeout, Error: timedOut}},
		"times out in the end": {func(w http.ResponseWriter, r *http.Request) error {
			_, _ = io.WriteString(w, "half")
			hang(w, r)
			panic(http.ErrAbortHandler)
		}, Attempt{Took: 30 * time.Second, Status: 200, Error: timedOut, Answer: []byte("half")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, keep := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					want := c.want
					if !keep {
						if want.Status/100 != 2 && want.Answer != nil { // the error would have it
							want.Error = fmt.Sprintf("%d: %s", want.Status, http.StatusText(want.Status))
						}
						want.Answer = nil
					}
					begin := time.Now()
					want.Ended = begin.Add(want.Took)
					s := new(recorder)
					tr := dispatch(t, nil, c.backend, func(inner Store) Store { s.Store = inner; return s },
						func(p *Policy) { p.KeepAnswers = keep; p.For = 0 })
					tr.accept("a", 1)
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					if len(s.outcomes) != 1 {
						t.Fatalf("settled %d times", len(s.outcomes))
					}
					if got := s.outcomes[0].Attempt; !reflect.DeepEqual(got, want) {
						t.Errorf("answers kept: %t: got %+v, want %+v", keep, got, want)
					}
				})
			}
		})
	}
}

// TestReleasedHasNoHistory cuts an attempt short that was answered already.
func TestReleasedHasNoHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(recorder)
		tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half")
			hang(w, r)
			panic(http.ErrAbortHandler)
		}, func(inner Store) Store { s.Store = inner; return s }, func(p *Policy) { p.KeepAnswers = true })
		tr.accept("a", 1)
		time.Sleep(time.Second)
		tr.Stop(time.Second)
		if want := []Outcome{{Released: true}}; !reflect.DeepEqual(s.outcomes, want) {
			t.Errorf("settled with %+v, want %+v", s.outcomes, want)
		}
	})
}
