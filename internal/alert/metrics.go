package alert

import "github.com/prometheus/client_golang/prometheus"

// The results of alerts, as a label.
const (
	sent     = "sent"
	failed   = "failed"
	dropped  = "dropped"
	repeated = "repeated"
	followed = "followed"
)

// Alerts counts the alerts of this process.
var Alerts = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "caddy_instagram_alerts_total",
	Help: "Alerts by kind and by result: sent or failed, for each receiver; dropped, because too many wait or came within an hour; repeated, and so not sent again; followed, and so left to another gateway.",
}, []string{"kind", "result"})

func init() {
	for kind := range kinds {
		for _, result := range []string{sent, failed, dropped, repeated, followed} {
			Alerts.WithLabelValues(string(kind), result)
		}
	}
}

func count(kind Kind, result string) { Alerts.WithLabelValues(string(kind), result).Inc() }
