package command

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// shared is a store that two gateways share.
type shared struct{ queue.Store }

func (shared) Describe(map[string]string, []queue.Recipient) {}
func (shared) Refuses() error                                { return nil }

func (shared) Gateways(context.Context) ([]queue.Gateway, int64, error) {
	now := time.Now()
	return []queue.Gateway{
		{Name: "gw1", This: true, Since: now.Add(-3 * time.Hour), Seen: now, Program: "v1.2.3", Schema: 1, Settings: map[string]string{"dedupe": "48h"}},
		{Name: "gw2\x1b[31m", Since: now.Add(-5 * time.Minute), Seen: now.Add(-7 * time.Second), Program: "v1.2.4", Schema: 2,
			Settings: map[string]string{"dedupe": "24h"}, Recipients: []queue.Recipient{{Name: queue.DefaultConsumer}}},
	}, 1, nil
}

func (shared) Drop(context.Context, string) error { return queue.ErrElsewhere }

// idle is a running config without consumers.
type idle struct{ shared }

func (idle) Consumers() []string { return nil }

func (idle) Order(string) queue.Order { return "" }

// TestQueueStatusOfGateways lists those that share a store, and what they have differently,
// and says why deliveries are refused.
func TestQueueStatusOfGateways(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	s := newQueueServer(t, admin.Store{Store: shared{store}, Name: "pg", Running: idle{shared{store}}, Refusal: errors.New("no synchronous standby is connected")})
	r := s.run(t, "status")
	for _, want := range []string{
		"refused\n", "\npg refuses deliveries: no synchronous standby is connected\n", "\nGATEWAY OF pg ", "\ngw1 (this one)", "(3h ago)", "(5m ago)", "(7s ago)", "v1.2.4",
		"\nThe gateways of pg are configured differently:\n  the consumer default is on gw2", "\n  dedupe is 24h on gw2",
	} {
		r.want(t, 0, want, "")
	}
	if strings.Contains(r.out, "not in the config") {
		t.Errorf("a consumer that another gateway has is not in the config:\n%s", r.out)
	}
	got := decode[queueStatus](t, s.run(t, "status", "--json")).Stores[0]
	if len(got.Gateways) != 2 || !got.Gateways[0].This || got.Gateways[1].Schema != 2 || len(got.Differences) != 2 || got.RefusingBecause == "" {
		t.Errorf("%+v", got)
	}
	s.run(t, "drop", "default").want(t, 2, "", "the consumer is in the config of another gateway")
}
