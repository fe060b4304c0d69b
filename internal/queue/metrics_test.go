package queue

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-instagram/webhooks/event"
)

// TestCountersExistBeforeTheFirstEvent keeps alerts from missing the first dead
// letter: a rate needs the 0 before the 1. There are few of them all the same.
func TestCountersExistBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	var common []string
	for _, f := range event.Fields() {
		if f.Common {
			common = append(common, f.Name)
		}
	}
	for name, c := range map[string]struct{ fields, want []string }{
		"all fields":    {nil, common},
		"two fields":    {[]string{"follow", "comments"}, append([]string{"follow"}, common...)},
		"one, repeated": {[]string{"unparsed", "comments", "comments"}, common},
	} {
		fresh := collectors{
			events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "events"}, []string{"result", "consumer", "field"}),
			failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "failures"}, []string{"consumer", "reason"}),
			seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "seconds"}, []string{"consumer"}),
		}
		fresh.init("crm", c.fields)
		fresh.init("bot", c.fields)
		want := make(map[string]bool)
		for _, field := range append(slices.Clone(c.want), "unparsed", "other") {
			for _, result := range []string{" accepted", " duplicate", " skipped", "crm delivered", "crm dead", "bot delivered", "bot dead"} {
				consumer, result, _ := strings.Cut(result, " ")
				want[consumer+" "+field+" "+result] = true
			}
		}
		if got := labels(t, fresh.events); !maps.Equal(got, want) {
			t.Errorf("%s: events of %v, want %v", name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		reasons := labels(t, fresh.failures)
		for _, reason := range []string{"timeout", "panic", "broken", "untaken", "301", "404", "500", "502", "503", "504"} {
			if !reasons["crm "+reason] || !reasons["bot "+reason] {
				t.Errorf("%s: failures by %s do not begin at 0", name, reason)
			}
		}
		if len(reasons) > 2*30 {
			t.Errorf("%s: %d reasons", name, len(reasons))
		}
		for _, consumer := range []string{"crm", "bot"} {
			if !fresh.seconds.DeleteLabelValues(consumer) {
				t.Errorf("%s: there is no time to deliver of %s", name, consumer)
			}
		}
	}
}

// labels returns the values of the labels of counters that stand at 0.
func labels(t *testing.T, c prometheus.Collector) map[string]bool {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, family := range families {
		for _, m := range family.Metric {
			text := ""
			for _, label := range m.Label {
				text += " " + label.GetValue()
			}
			found[text[1:]] = m.GetCounter().GetValue() == 0
		}
	}
	return found
}

// TestReasonsAreBoundedLabels has an application that answers any status.
func TestReasonsAreBoundedLabels(t *testing.T) {
	t.Parallel()
	labels := make(map[string]bool)
	for status := 100; status < 1000; status++ {
		labels[reasonLabel(strconv.Itoa(status))] = true
	}
	for _, kept := range []string{"404", "419", "503", otherReason} {
		if !labels[kept] {
			t.Errorf("there is no label %s", kept)
		}
	}
	if len(labels) > 70 {
		t.Errorf("there are %d labels", len(labels))
	}
	if got := reasonLabel(reasonTimeout); got != reasonTimeout {
		t.Errorf("a timeout is %s", got)
	}
}
