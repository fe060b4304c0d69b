package handler

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/outage"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// failure is what an alert tells of a delivery that failed.
type failure struct {
	at       time.Time
	callback string
	problem  string
	kind     string // of the handler of this plugin that failed, or ""
	reported bool   // by the alerts of that handler
}

// refused reports whether this gateway could not store the delivery.
func (f *failure) refused() bool { return f.kind != "" }

func isReported(err error) bool {
	_, reported := errors.AsType[outage.Reported](err)
	return reported
}

// callback names where the delivery came to.
func (x *exchange) callback() string {
	path := x.r.URL.Path
	if original, ok := x.r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		path = original.URL.Path
	}
	return sanitize.Text(x.r.Host+path, maxText)
}

// alert tells that deliveries have failed for so long: that they are refused if this
// gateway cannot store them, and else what the answers are.
func (m *monitor) alert(lasted time.Duration) {
	f := m.last.Load()
	if f.reported {
		return
	}
	m.succeeded.Store(false)
	a := alert.Alert{
		Kind: alert.Answers, Cause: f.callback, Urgent: lasted >= outage.LastWarning,
		Data: map[string]any{"callback": f.callback, "seconds": lasted.Seconds(), "failed": m.failed.Load()},
	}
	if f.refused() {
		a.Kind = alert.Refusing
	}
	a.Text = fmt.Sprintf("All deliveries to %s have failed for %s. The last one: %s. %s.", f.callback, lasted, f.problem, outage.Consequence)
	m.alerts.Raise(a)
}

// recoverAlerts tells that deliveries are taken again. An earlier config may have told that
// they failed.
func (m *monitor) recoverAlerts(x *exchange) {
	if m.succeeded.Load() || m.succeeded.Swap(true) {
		return
	}
	callback := x.callback()
	if f := m.last.Load(); f != nil {
		callback = f.callback
	}
	for _, kind := range []alert.Kind{alert.Answers, alert.Refusing} {
		m.alerts.Raise(alert.Alert{
			Kind: alert.Recovered, Of: kind, Cause: callback, Data: map[string]any{"callback": callback},
			Text: fmt.Sprintf("Deliveries to %s are taken again.", callback),
		})
	}
}
