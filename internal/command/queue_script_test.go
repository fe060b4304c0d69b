package command_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/caddyserver/caddy/v2"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/live"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

// keepQueue <file> makes the file of a queue of three comments: the first is
// dead, the second delivered, the third pending.
func keepQueue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: queue-file <file>")
	}
	ctx := context.Background()
	store, err := sqlite.Open(ts.MkAbs(args[0]), zap.NewNop)
	ts.Check(err)
	ts.Check(store.Join(ctx, []queue.Consumer{{Name: queue.DefaultConsumer}}))
	for i, outcome := range []queue.Outcome{
		{State: queue.Dead, Attempt: queue.Attempt{Error: "status 410"}}, {State: queue.Delivered}, {},
	} {
		delivery := fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"17841400000000001","changes":[{"field":"comments","value":{"id":"%d"}}]}]}`, i+1)
		for _, e := range event.Split(delivery) {
			_, err := store.Accept(ctx, []queue.Record{{
				Identity: e.ID(), Account: e.Account, Field: e.Field, Body: e.Envelope(),
				URL: "https://hooks.example.com/webhooks?token=" + marker, Secret: "instagram",
			}}, queue.Admission{})
			ts.Check(err)
		}
		if outcome.State == "" {
			continue
		}
		leased, _, err := store.Lease(ctx, queue.DefaultConsumer, 1)
		ts.Check(err)
		ts.Check(store.Settle(ctx, leased[0], outcome))
	}
	ts.Check(store.Close())
}

// serveQueue <file> serves the queue in a file by Caddy's admin API, and sets
// QUEUE.
func serveQueue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: queue <file> [<name>]")
	}
	name := append(args, "queue.db")[1]
	store, err := sqlite.Open(ts.MkAbs(args[0]), zap.NewNop)
	ts.Check(err)
	ts.Defer(func() { ts.Check(store.Close()) })
	api := &admin.API{Feed: ts.Value("feed").(*live.Feed), Stores: func() []admin.Store { return []admin.Store{{Store: store, Name: name}} }}
	ts.Check(api.Provision(caddy.Context{})) // a reload ends streams by the next one
	server := httptest.NewServer(api.Handler())
	ts.Defer(server.Close)
	ts.Setenv("QUEUE", server.Listener.Addr().String())
}
