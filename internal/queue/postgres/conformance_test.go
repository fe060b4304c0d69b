package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/storetest"
)

// TestConformance holds the store against the contract.
func TestConformance(t *testing.T) {
	t.Parallel()
	pgtest.Need(t, absent)
	storetest.Run(t, func(string) storetest.Opener {
		o := newOptions(t)
		return storetest.Opener{
			Open: func() (queue.Store, error) { return Open(o, nop) },
			// The session of a gateway that crashed ends after a while, which is over here.
			Crash: func(s queue.Store) error {
				store := s.(*Store)
				store.end()
				store.endWork()
				store.pool.Close()
				return server.Execute("UPDATE " + pgx.Identifier{o.Schema, "session"}.Sanitize() + " SET beat = '-infinity'")
			},
		}
	})
}
