package e2e

import (
	"math/rand/v2"
	"testing"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
)

// TestSharedQueueRollingUpgrade replaces the gateways one after the other, under load. Nothing
// comes twice.
func TestSharedQueueRollingUpgrade(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start()
	pgtest.Need(t, err)
	t.Cleanup(server.Stop)
	q := startShared(t, func() *pgtest.Server { return server }, "durable local", func(int) string { return server.DSN })
	for round := range 3 {
		q.fail(t, failure{"all gateways replaced", 0, func(t *testing.T, _ *rand.Rand) {
			for _, g := range q.gateways {
				g.Stop()
				g.Start(t, g.site)
				waitAccepting(t, g)
			}
		}}, round)
	}
	q.finish(t)
}

// TestSharedQueueBehindPoolers has pgbouncer give each transaction, or each statement, to
// another connection.
func TestSharedQueueBehindPoolers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			server, err := pgtest.Start()
			pgtest.Need(t, err)
			t.Cleanup(server.Stop)
			dsn, stop, err := server.StartBouncer(mode)
			pgtest.Need(t, err)
			t.Cleanup(stop)
			q := startShared(t, func() *pgtest.Server { return server }, "durable local", func(int) string { return dsn })
			q.fail(t, failure{"gateway killed", 1, q.killGateway}, 0)
			q.finish(t)
		})
	}
}
