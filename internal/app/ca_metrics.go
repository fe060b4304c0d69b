package app

import (
	"crypto/x509"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/running"
)

// caGauge shows when the first of the trusted CA certificates ends.
type caGauge struct{ apps running.Newest[*App] }

var (
	cas      caGauge
	caExpiry = prometheus.NewDesc("caddy_instagram_client_ca_expiry_timestamp_seconds",
		"When the first CA certificate of client_cert ends; missing if there is none.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*caGauge) Describe(ch chan<- *prometheus.Desc) { ch <- caExpiry }

// Collect implements prometheus.Collector.
func (g *caGauge) Collect(ch chan<- prometheus.Metric) {
	a := g.apps.Get()
	if a == nil || len(a.cas) == 0 {
		return
	}
	first := slices.MinFunc(a.cas, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	ch <- prometheus.MustNewConstMetric(caExpiry, prometheus.GaugeValue, float64(first.NotAfter.Unix()))
}
