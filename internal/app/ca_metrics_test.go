package app

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestFirstEndOfCAs reloads a config: the metric is that of the new one, whose start comes
// before the end of the old one.
func TestFirstEndOfCAs(t *testing.T) {
	certs := func(ends ...int64) (found []*x509.Certificate) {
		for _, end := range ends {
			found = append(found, &x509.Certificate{NotAfter: time.Unix(end, 0)})
		}
		return found
	}
	far := time.Now().Add(10 * CAEndsSoon).Unix() // nobody is to be alerted
	before, after, none := new(App), new(App), new(App)
	before.WatchCAs(certs(far+3, far+1, far+2))
	after.WatchCAs(certs(far + 5))
	check := func(want int64, when string) {
		t.Helper()
		got := 0.0
		if testutil.CollectAndCount(&cas) > 0 {
			got = testutil.ToFloat64(&cas)
		}
		if got != float64(want) {
			t.Errorf("%s: %v, want %d", when, got, want)
		}
	}
	check(0, "before the start")
	before.startCAs()
	check(far+1, "with one config")
	after.startCAs()
	before.endCAs()
	check(far+5, "with the next one")
	none.startCAs()
	after.endCAs()
	check(0, "without a CA")
	none.endCAs()
	check(0, "after the end")
}
