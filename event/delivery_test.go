package event_test

import (
	"errors"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// TestFailedDeliveryIsNeverAccepted holds that what one handler took does not
// hide what another could not.
func TestFailedDeliveryIsNeverAccepted(t *testing.T) {
	t.Parallel()
	first, second := errors.New("the disk is full"), errors.New("another")
	for name, calls := range map[string]func(*event.Delivery){
		"accepted before": func(d *event.Delivery) { d.Accept(); d.Fail(first) },
		"accepted after":  func(d *event.Delivery) { d.Fail(first); d.Accept() },
		"failed twice":    func(d *event.Delivery) { d.Fail(first); d.Fail(second) },
	} {
		d := new(event.Delivery)
		if calls(d); d.Accepted() || !errors.Is(d.Failure(), first) {
			t.Errorf("%s: accepted: %t, failure: %v", name, d.Accepted(), d.Failure())
		}
	}
}
