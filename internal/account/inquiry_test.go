package account

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

// TestCheckOnDemand has somebody ask for checks, alone and with others.
func TestCheckOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		wait(2 * time.Minute)
		f.lose("comments")
		if s := g.status(t); s.Subscription != Complete {
			t.Errorf("%+v", s)
		}

		asked := len(f.meta.Requests())
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := g.Check(t.Context()); err != nil {
					t.Error(err)
				}
				if s := g.status(t); s.Subscription != Missing {
					t.Errorf("after the check: %+v", s)
				}
			})
		}
		all.Wait()
		took, calls := time.Since(began), len(f.meta.Requests())-asked
		if took > 20*time.Second || calls == 0 || calls > 3 {
			t.Errorf("%d calls in %s", calls, took)
		}

		// Once more within the same minute, and again after it.
		asked = len(f.meta.Requests())
		if err := g.Check(t.Context()); err != nil || len(f.meta.Requests()) != asked {
			t.Errorf("%d calls, %v", len(f.meta.Requests())-asked, err)
		}
		wait(2 * time.Minute)
		if err := g.Check(t.Context()); err != nil || len(f.meta.Requests()) == asked {
			t.Errorf("%d calls, %v", len(f.meta.Requests())-asked, err)
		}

		// Who goes away does not end it for others.
		wait(2 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Check(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := g.Check(t.Context()); err != nil {
			t.Error(err)
		}
		end(g)
		if err := g.Check(t.Context()); !errors.Is(err, errReloaded) {
			t.Error(err)
		}
	})
}

// TestCheckOnDemandEnds reloads the config while somebody waits.
func TestCheckOnDemandEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		g := f.start(true, f.account(nil))
		wait(2 * time.Minute)
		failed := make(chan error, 1)
		go func() { failed <- g.Check(t.Context()) }()
		time.Sleep(time.Second)
		end(g)
		if err := <-failed; !errors.Is(err, errReloaded) {
			t.Error(err)
		}
	})
}

// TestCheckOnDemandObeysMeta asks while Meta throttles, and with a dead token.
func TestCheckOnDemandObeysMeta(t *testing.T) {
	for name, fault := range map[string]graphtest.Fault{
		"throttled": {Path: "/subscribed_apps", Status: 400, Body: []byte(`{"error":{"message":"(#80002)","type":"OAuthException","code":80002}}`)},
		"dead":      {Path: "/subscribed_apps", Status: 400, Body: []byte(`{"error":{"message":"expired","type":"OAuthException","code":190}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.meta.Fail(fault)
				g := f.start(true, f.account(nil))
				defer end(g)
				wait(65 * time.Second)
				asked := len(f.meta.Requests())
				if err := g.Check(t.Context()); err != nil || len(f.meta.Requests()) != asked {
					t.Errorf("%d calls, %v: %+v", len(f.meta.Requests())-asked, err, g.status(t))
				}
			})
		})
	}
}

// TestAccountsThatNoConfigHasAreForgotten removes one of two accounts from the config.
func TestAccountsThatNoConfigHasAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.every = time.Hour
		other := f.account(func(a *Account) { a.ID = "17841400000000002" })
		g := f.start(true, f.account(nil), other)
		wait(2 * time.Hour)
		end(g)
		g = f.start(false, f.account(nil))
		defer end(g)
		kept := func() string {
			text, err := f.storage.Load(t.Context(), stateKey)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		wait(29 * day)
		if text := kept(); !strings.Contains(text, other.ID) {
			t.Errorf("forgotten too soon: %s", text)
		}
		wait(3 * day)
		if text := kept(); strings.Contains(text, other.ID) || !strings.Contains(text, accountID) {
			t.Errorf("after a month: %s", text)
		}
	})
}
