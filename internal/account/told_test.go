package account

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

// TestOtherReasonIsTold has a token die shortly after it was told that it ends: that is told
// when an hour is over, also by another gateway, or after a restart; not, if it is well again.
func TestOtherReasonIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(f *fixture, g *gateway) *gateway
		told      []string
	}{
		"the same gateway": {
			meanwhile: func(_ *fixture, g *gateway) *gateway { return g },
			told:      []string{"token dead " + accountID},
		},
		"restarted": {
			meanwhile: func(f *fixture, g *gateway) *gateway {
				end(g)
				return f.start(true, g.accounts...)
			},
			told: []string{"token dead " + accountID},
		},
		"well again": {
			meanwhile: func(f *fixture, g *gateway) *gateway {
				f.meta.Change(func(s *graphtest.State) {
					s.Tokens = append(s.Tokens, &graphtest.Token{Value: "IGAA-s3cr3t-new", App: appID, Account: accountID})
				})
				f.writeToken("IGAA-s3cr3t-new")
				wait(2 * time.Minute)
				return g
			},
			told: []string{"token over: ends " + accountID},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.meta.Change(func(s *graphtest.State) { s.Tokens[0].Expires = time.Now().Add(60 * day) })
				g := f.start(true, f.account(nil))
				defer func() { end(g) }()
				for !slices.Equal(f.told(), []string{"token ends " + accountID}) {
					wait(time.Minute)
				}
				f.meta.Change(func(s *graphtest.State) { s.Tokens[0].Subcode = 460 })
				if err := g.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				g = c.meanwhile(f, g)
				wait(10 * time.Minute)
				if len(c.told) > 0 && c.told[0][:10] == "token dead" {
					equal(t, "told within the hour", f.told(), nil)
				}
				wait(2 * time.Hour)
				equal(t, "told", f.told(), c.told)
			})
		})
	}
}
