package queue

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestConsumerIsNamed shows where the name of a consumer appears: in requests, metrics
// and logs, where there is none for the default consumer.
func TestConsumerIsNamed(t *testing.T) {
	t.Parallel()
	failures := metrics.failures.WithLabelValues("named", "508")
	events := metrics.events.WithLabelValues("delivered", "named", "messages")
	failed, delivered := testutil.ToFloat64(failures), testutil.ToFloat64(events)
	for consumer, logged := range map[string]any{"named": "named", DefaultConsumer: nil} {
		t.Run(consumer, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewMemory()
				if err := s.Join(t.Context(), []Consumer{{Name: "named"}}); err != nil {
					t.Fatal(err)
				}
				attempts := 0
				tr := dispatch(t, func(w http.ResponseWriter, r *http.Request) {
					if got := r.Header.Get("X-Instagram-Consumer"); got != consumer {
						t.Errorf("an attempt for %q", got)
					}
					attempts++
					w.WriteHeader(map[int]int{1: 508, 2: 200}[attempts])
				}, s, func(p *Policy) { p.Consumer = consumer })
				if _, err := s.Accept(t.Context(), []Record{record("a", 1)}, Admission{Consumers: []string{consumer}}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				tr.expect(map[State]int{Delivered: 1})
				lines := tr.logs.All()
				if len(lines) != 1 || lines[0].ContextMap()["consumer"] != logged {
					t.Errorf("the log says %v, want one line of the consumer %v", lines, logged)
				}
			})
		})
	}
	t.Cleanup(func() {
		if n := testutil.ToFloat64(failures) - failed; n != 1 {
			t.Errorf("counted %v failures, want 1", n)
		}
		if n := testutil.ToFloat64(events) - delivered; n != 1 {
			t.Errorf("counted %v delivered events, want 1", n)
		}
		if !metrics.seconds.DeleteLabelValues("named") {
			t.Error("there is no time to deliver")
		}
	})
}
