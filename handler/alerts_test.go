package handler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/outage"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

// TestLastDeliveryTellsWhetherAllAreRefused has deliveries fail in several ways, one after the
// other.
func TestLastDeliveryTellsWhetherAllAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { testRefusing(t, newFixture(t)) })
}

func testRefusing(t *testing.T, f *fixture) {
	if f.monitor.Refusing() {
		t.Error("deliveries are refused, and none has come")
	}
	full := returns(caddyhttp.Error(503, throttle.Error{Kind: "instagram_file", Err: errors.New("full")}))
	for i, step := range []struct {
		next caddyhttp.HandlerFunc
		want bool
	}{{answersWith(500), false}, {full, true}, {full, true}, {answers200, false}, {full, true}, {answersWith(500), false}} {
		f.serveTo(t, newDelivery(testBody), step.next)
		if got := f.monitor.Refusing(); got != step.want {
			t.Errorf("after delivery %d: refusing %t, want %t", i+1, got, step.want)
		}
	}
	f.serveTo(t, newDelivery(testBody), full)
	time.Sleep(meta.UnsubscribeAfter)
	if f.monitor.Refusing() {
		t.Error("deliveries are refused, and none has come for an hour")
	}
}

// TestFailuresThatLastAreAlerted has deliveries fail for 20 minutes, a config that is loaded
// anew in between, and a success in the end.
func TestFailuresThatLastAreAlerted(t *testing.T) {
	t.Parallel()
	own := func(kind string, err error) error {
		return caddyhttp.Error(503, throttle.Error{Kind: kind, Err: err})
	}
	for name, tc := range map[string]struct {
		next caddyhttp.HandlerFunc
		want []string
	}{
		"application": {answersWith(500), []string{
			"5m0s answers false…The last one: the application answered 500.", "12m0s answers true", "21m0s recovered false…Deliveries to example.com/webhooks are taken again."}},
		"files": {returns(own("instagram_file", errors.New("full"))), []string{
			"5m0s refusing false", "12m0s refusing true", "21m0s recovered false"}},
		"queue": {returns(own("instagram_queue", outage.Reported{Err: errors.New("full")})), nil},
		"queue that was not asked": {returns(own("instagram_queue", errors.New("long"))), []string{
			"5m0s refusing false", "12m0s refusing true", "21m0s recovered false"}},
		"success": {answers200, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var told []string
				center := new(alert.Center)
				set := []*alert.Receiver{{Logger: zap.NewNop(), Send: func(_ context.Context, n *alert.Notice) error {
					if strings.Contains(n.Text, "full") || strings.Contains(n.Text, "long") {
						t.Errorf("an alert tells what may be anything: %s", n.Text)
					}
					told = append(told, fmt.Sprint(time.Since(begin).Truncate(time.Minute), " ", n.Kind, " ", n.Urgent, " ", n.Text))
					return nil
				}}}
				center.Start(set)
				defer center.Stop(set)
				config := func() *fixture {
					f := newFixture(t)
					f.monitor.alerts = center
					return f
				}
				deliver := func(f *fixture, next caddyhttp.HandlerFunc) {
					r := newDelivery(testBody)
					r.Host = "example.com"
					f.serveTo(t, r, next)
				}
				f := config()
				for range 20 {
					deliver(f, tc.next)
					time.Sleep(time.Minute)
				}
				if err := f.Cleanup(); err != nil {
					t.Error(err)
				}
				f = config() // knows nothing of the outage
				deliver(f, tc.next)
				time.Sleep(time.Minute)
				deliver(f, func(w http.ResponseWriter, _ *http.Request) error {
					w.WriteHeader(http.StatusOK)
					return nil
				})
				deliver(f, answers200)
				synctest.Wait()
				if !slices.EqualFunc(told, tc.want, func(got, want string) bool {
					for part := range strings.SplitSeq(want, "…") {
						if !strings.Contains(got, part) {
							return false
						}
					}
					return true
				}) {
					t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(tc.want, "\n"))
				}
			})
		})
	}
}
