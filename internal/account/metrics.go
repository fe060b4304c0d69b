package account

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/internal/alert"
)

// gauges shows what is known of the accounts in the running config.
type gauges struct{}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("caddy", "instagram", name), help, []string{"account"}, nil)
}

var (
	expiryGauge    = desc("account_token_expiry_timestamp_seconds", "When the access token ends, 0 if it is dead; missing if it never ends or that is not known.")
	missingGauge   = desc("account_missing_fields", "Fields that the app should be subscribed to, and is not; missing while that is not known.")
	uncertainGauge = desc("account_subscription_uncertain", "1 if it is not known what the app is subscribed to, else 0.")
	lastEventGauge = desc("account_last_event_timestamp_seconds", "When the last event came, 0 if none has.")
	silentGauge    = desc("account_silent", "1 if nothing has come for too long, else 0.")
	checkGauge     = desc("account_last_check_timestamp_seconds", "When Meta was last asked, 0 if it never was.")
	repairsCounter = desc("account_repairs_total", "How often the subscription was repaired.")
)

// Describe implements prometheus.Collector.
func (gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{expiryGauge, missingGauge, uncertainGauge, lastEventGauge, silentGauge, checkGauge, repairsCounter} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (gauges) Collect(ch chan<- prometheus.Metric) {
	s := Running()
	if s == nil {
		return
	}
	st := s.known.Load()
	if st == nil {
		return // before the first round
	}
	for _, a := range s.accounts {
		r := st.Accounts[a.ID]
		if r == nil {
			continue
		}
		show := func(d *prometheus.Desc, kind prometheus.ValueType, value float64) {
			ch <- prometheus.MustNewConstMetric(d, kind, value, a.ID)
		}
		if r.Token.Dead != "" || !r.Token.Expires.IsZero() {
			expires := r.Token.Expires
			if r.Token.Dead != "" {
				expires = time.Time{}
			}
			show(expiryGauge, prometheus.GaugeValue, seconds(expires))
		}
		if state := r.Subscription.State; state == Complete || state == Missing || state == Flapping {
			show(missingGauge, prometheus.GaugeValue, float64(len(r.Subscription.Missing)))
		}
		show(uncertainGauge, prometheus.GaugeValue, truth(r.Subscription.State == Uncertain))
		show(lastEventGauge, prometheus.GaugeValue, seconds(r.LastEvent))
		show(silentGauge, prometheus.GaugeValue, truth(r.Alarms[alert.Silence] != ""))
		show(checkGauge, prometheus.GaugeValue, seconds(r.LastCheck))
		show(repairsCounter, prometheus.CounterValue, float64(r.Subscription.Total))
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
