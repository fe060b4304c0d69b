package app

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// CAEndsSoon is how long before its end a trusted CA is warned about.
const CAEndsSoon = 60 * 24 * time.Hour

// WatchCAs alerts when one of the certificates ends soon, and until it is replaced. It must
// be called in Provision, and does nothing for a nil App.
func (a *App) WatchCAs(cas []*x509.Certificate) {
	if a != nil {
		a.cas = append(a.cas, cas...)
	}
}

// startCAs looks at the certificates now and every day.
func (a *App) startCAs() {
	var ctx context.Context
	ctx, a.stopCAs = context.WithCancel(context.Background())
	cas.apps.Start(a)
	a.watching.Go(func() {
		for {
			a.tellOfCAs()
			select {
			case <-time.After(24 * time.Hour):
			case <-ctx.Done():
				return
			}
		}
	})
}

// tellOfCAs alerts of the certificates that end soon, and of others that this is over.
func (a *App) tellOfCAs() {
	alert.Shared.Sync(alert.CA, AboutCAs(a.cas, time.Now()), "The CA certificate is no longer in the trust_pool of client_cert.")
}

func (a *App) endCAs() {
	if a.stopCAs != nil { // else the app did not start
		a.stopCAs()
		a.watching.Wait()
		cas.apps.Stop(a)
		if other := cas.apps.Get(); other != nil {
			other.tellOfCAs() // as this one, if it was a reload that failed, has told of its own
		}
	}
}

// maxSubject bounds what a certificate says of itself, in bytes.
const maxSubject = 200

// AboutCAs returns an alert for each certificate that ends soon.
func AboutCAs(cas []*x509.Certificate, now time.Time) (alerts []alert.Alert) {
	for _, ca := range cas {
		left := ca.NotAfter.Sub(now)
		if left > CAEndsSoon {
			continue
		}
		subject, until := sanitize.Text(ca.Subject.String(), maxSubject), ca.NotAfter.UTC().Format(time.DateOnly)
		days := int(left.Hours() / 24)
		text := fmt.Sprintf("The CA certificate of %s ends on %s, in %d days. Download Meta's next one, add it to the trust_pool of client_cert, and reload.", subject, until, days)
		if left <= 0 {
			text = fmt.Sprintf("The CA certificate of %s ended on %s. Put Meta's current one in its place in the trust_pool of client_cert, and reload.", subject, until)
		}
		alerts = append(alerts, alert.Alert{
			Kind: alert.CA, Cause: subject + " until " + until, Text: text, Urgent: left < 14*24*time.Hour,
			Data: map[string]any{"not_after": ca.NotAfter.UTC(), "days_left": days},
		})
	}
	return alerts
}
