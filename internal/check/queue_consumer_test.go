package check

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestEachConsumerIsLookedAt has one of several consumers at fault, and looks whether it
// is named and gets its own advice.
func TestEachConsumerIsLookedAt(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	in, out := true, false
	for name, test := range map[string]struct {
		crm     admin.Consumer
		warns   string // the check
		says    string
		advises string
	}{
		"well":          {admin.Consumer{InConfig: &in}, "", "", ""},
		"down":          {admin.Consumer{InConfig: &in, Counts: admin.Counts{Pending: 5, Oldest: ago(time.Hour)}}, QueueDelivering, "failed: status 502", "tried again"},
		"paused":        {admin.Consumer{InConfig: &in, Paused: true, Counts: admin.Counts{Pending: 5, Oldest: ago(time.Hour)}}, QueueDelivering, "the consumer is paused", "resume crm"},
		"paused lately": {admin.Consumer{InConfig: &in, Paused: true, Counts: admin.Counts{Pending: 5, Oldest: ago(time.Minute)}}, "", "", ""},
		"paused, empty": {admin.Consumer{InConfig: &in, Paused: true}, "", "", ""},
		"left":          {admin.Consumer{InConfig: &out, Counts: admin.Counts{Pending: 5, Oldest: ago(time.Minute)}}, QueueDelivering, "not in the running config", "drop crm"},
		"dead letters":  {admin.Consumer{InConfig: &in, Counts: admin.Counts{Dead: 3}}, QueueDead, "3 dead letters, the last one", "retry --all --consumer crm"},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := configured(t, strings.Replace(noClientCert, "admin off", "admin localhost:2345", 1))
			free(10<<30)(c, dir)
			c.NoDeliveries = true
			test.crm.Name = "crm"
			bot := admin.Consumer{Name: "bot", InConfig: &in, Counts: admin.Counts{Pending: 1, Oldest: ago(time.Second)}}
			sum := admin.Counts{Pending: test.crm.Pending + 1, Oldest: test.crm.Oldest, Dead: test.crm.Dead}
			c.Admin = (&stubQueue{
				t:      t,
				stores: []admin.Status{{Store: storeIn(dir), Counts: &sum, Consumers: []admin.Consumer{bot, test.crm}}},
				events: []*admin.Event{ // an event is listed for each consumer that has it
					{ID: 7, Consumer: "bot", State: queue.Pending},
					{ID: 7, Consumer: "crm", State: queue.Pending, Attempts: 4, LastError: "status 502"},
					{ID: 6, Consumer: "crm", State: queue.Dead, LastError: "status 410"},
				},
			}).get
			var warnings []string
			if test.warns != "" {
				warnings = []string{test.warns}
			}
			r := c.run()
			r.expect(t, nil, warnings)
			for _, f := range r.Findings {
				if f.Status != Warning {
					continue
				}
				if f.Subject != storeIn(dir)+", consumer crm" || !strings.Contains(f.Text, test.says) || !strings.Contains(f.Advice, test.advises) {
					t.Errorf("it says %+v", f)
				}
				if strings.Contains(f.Advice, "raise concurrency") {
					t.Errorf("it advises %q", f.Advice)
				}
			}
		})
	}
}
