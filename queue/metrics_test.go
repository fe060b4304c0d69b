package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestGaugesOfConsumers shows those of the config and what left it with events.
func TestGaugesOfConsumers(t *testing.T) {
	t.Parallel()
	s := newStubStore(t)
	s.stats = []queue.Stats{
		{Consumer: "bot"},
		{Consumer: "crm", Paused: true, Pending: 3, PendingBytes: 40, InFlight: 2, Dead: 1, Oldest: time.Now().Add(-time.Hour)},
		{Consumer: "left-with-letters", Dead: 5},
		{Consumer: "left-with-nothing"},
	}
	startedHandler(t, s, several("bot", "crm"))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(gauges{})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, m := range family.Metric {
			labels := make(map[string]string)
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			value := m.Gauge.GetValue()
			if family.GetName() == "caddy_instagram_queue_oldest_seconds" && value >= 3600 && value < 3700 {
				value = 3600
			}
			if labels["store"] == s.key {
				got = append(got, fmt.Sprintln(family.GetName(), labels["consumer"], value))
			}
		}
	}
	var want []string
	for name, values := range map[string][3]float64{
		"pending_events":   {0, 3, 0},
		"pending_bytes":    {0, 40, 0},
		"in_flight_events": {0, 2, 0},
		"dead_events":      {0, 1, 5},
		"oldest_seconds":   {0, 3600, 0},
		"paused":           {0, 1, 0},
	} {
		for i, consumer := range []string{"bot", "crm", "left-with-letters"} {
			want = append(want, fmt.Sprintln("caddy_instagram_queue_"+name, consumer, values[i]))
		}
	}
	want = append(want, fmt.Sprintln("caddy_instagram_queue_refusing_since_timestamp_seconds", "", 0))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
