package harness

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Metrics returns the metrics of the plugin, one a line.
func (c *Caddy) Metrics(t testing.TB) string {
	t.Helper()
	var ours strings.Builder
	for line := range strings.Lines(c.AdminGet(t, "/metrics")) {
		if strings.HasPrefix(line, "caddy_instagram_") {
			ours.WriteString(line)
		}
	}
	return ours.String()
}

// LookupMetric returns the value of a metric with its labels, as it is written
// but for the prefix caddy_instagram_, and whether it is there.
func (c *Caddy) LookupMetric(t testing.TB, name string) (value float64, found bool) {
	t.Helper()
	return c.LookupAnyMetric(t, "caddy_instagram_"+name)
}

// LookupAnyMetric is LookupMetric for a metric with its whole name.
func (c *Caddy) LookupAnyMetric(t testing.TB, name string) (value float64, found bool) {
	t.Helper()
	for line := range strings.Lines(c.AdminGet(t, "/metrics")) {
		text, ok := strings.CutPrefix(line, name+" ")
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			t.Fatal(err)
		}
		return value, true
	}
	return 0, false
}

// Metric is LookupMetric with 0 for a metric that is not there.
func (c *Caddy) Metric(t testing.TB, name string) float64 {
	t.Helper()
	value, _ := c.LookupMetric(t, name)
	return value
}

// CheckMetric fails the test if a metric is not there or has another value.
func (c *Caddy) CheckMetric(t testing.TB, name string, want float64) {
	t.Helper()
	if got, found := c.LookupMetric(t, name); got != want || !found {
		t.Errorf("%s is %v (found: %t), want %v", name, got, found, want)
	}
}

// WaitMetric returns when a metric has a value.
func (c *Caddy) WaitMetric(t testing.TB, name string, want float64) {
	t.Helper()
	c.WaitMetricThat(t, name, func(got float64) bool { return got == want })
}

// WaitMetricThat returns when the value of a metric fits.
func (c *Caddy) WaitMetricThat(t testing.TB, name string, fits func(float64) bool) {
	t.Helper()
	var got float64
	if !poll(func() bool { got = c.Metric(t, name); return fits(got) }) {
		t.Fatalf("%s is %v after %s", name, got, Timeout)
	}
}

// Gauge is the name of a gauge of the queue, for its one consumer or the one with a name.
func (c *Caddy) Gauge(name string, consumer ...string) string {
	return fmt.Sprintf("queue_%s{consumer=%q,store=%q}", name, append(consumer, "default")[0], c.Queue)
}

// Refusing is the name of the gauge that tells since when the queue refuses deliveries.
func (c *Caddy) Refusing() string {
	return fmt.Sprintf("queue_refusing_since_timestamp_seconds{store=%q}", c.Queue)
}
