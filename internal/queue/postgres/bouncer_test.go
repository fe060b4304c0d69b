package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestPoolers has a queue work through pgbouncer, which gives each transaction, or each
// statement, to another connection.
func TestPoolers(t *testing.T) {
	t.Parallel()
	pgtest.Need(t, absent)
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dsn, stop, err := server.StartBouncer(mode)
			pgtest.Need(t, err)
			t.Cleanup(stop)
			o := newShared(t, 10*time.Second)
			o.DSN = dsn
			s := openShared(t, o)
			const total = 50
			for n := range total {
				accept(t, s, record(fmt.Sprint(n), fmt.Sprint(n%3)))
			}
			for n := range total {
				e, _ := lease(t, s)
				o := queue.Outcome{State: []queue.State{queue.Delivered, queue.Dead}[n%2]}
				if err := s.Settle(t.Context(), e, o); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := s.Requeue(t.Context(), queue.Filter{State: queue.Dead}, 0); n != total/2 || err != nil {
				t.Errorf("requeued %d, %v, want %d", n, err, total/2)
			}
			e, _ := lease(t, s)
			if err := s.Discard(t.Context(), "", e.ID); !errors.Is(err, queue.ErrLeased) {
				t.Errorf("discarded while leased: %v", err)
			}
			if err := s.Pause(t.Context(), queue.DefaultConsumer, true); err != nil {
				t.Error(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if events, _, err := s.Lease(ctx, queue.DefaultConsumer, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("leased %v during a pause: %v", events, err)
			}
			list, err := s.List(t.Context(), queue.Filter{State: queue.Pending, Bodies: true, History: true})
			if len(list) != total/2 || err != nil {
				t.Errorf("listed %d, %v, want %d", len(list), err, total/2)
			}
		})
	}
}
