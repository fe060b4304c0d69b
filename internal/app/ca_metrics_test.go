package app

import (
	"context"
	"crypto/x509"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
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

// TestCAsAfterAReloadThatFails has a config start whose CAs are fine, and end, while one runs
// with a CA that ends soon: that alert goes on.
func TestCAsAfterAReloadThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []alert.Kind
		receivers := []*alert.Receiver{{Name: "test", Key: "test", Only: []alert.Kind{alert.CA}, Logger: zap.NewNop(), Send: func(_ context.Context, n *alert.Notice) error {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, n.Kind)
			return nil
		}}}
		shared := alert.Shared
		alert.Shared = new(alert.Center) // which has told of nothing yet
		defer func() { alert.Shared = shared }()
		alert.Shared.Start(receivers)
		defer alert.Shared.Stop(receivers)
		runs, fails := new(App), new(App)
		runs.WatchCAs([]*x509.Certificate{{NotAfter: time.Now().Add(CAEndsSoon / 2)}})
		runs.startCAs()
		defer runs.endCAs()
		synctest.Wait()
		fails.startCAs()
		synctest.Wait()
		fails.endCAs()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(told, []alert.Kind{alert.CA, alert.Recovered, alert.CA}) {
			t.Errorf("told %q", told)
		}
	})
}
