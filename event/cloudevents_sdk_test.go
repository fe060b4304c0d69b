package event_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// TestCloudEventsSDK reads events with the official SDK of CloudEvents.
func TestCloudEventsSDK(t *testing.T) {
	bodies := [][]byte{nil, []byte("[\"\xff\"]"), []byte("null")}
	files, err := filepath.Glob("testdata/deliveries/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no deliveries: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	g := sample.New(11)
	for _, f := range event.Fields() {
		bodies = append(bodies, g.Delivery(sample.StyleOf(f.Name), 5, f.Name), g.TestButton(f.Name))
	}

	for _, body := range bodies {
		events := event.Split(body)
		for i := range events {
			ev := &events[i]
			line := ev.AppendCloudEvent(nil)
			var ce cloudevents.Event
			if err := json.Unmarshal(line, &ce); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if err := ce.Validate(); err != nil {
				t.Errorf("%v: %s", err, line)
			}
			source := "/instagram"
			if ev.Account != "" {
				source += "/" + ev.Account
			}
			when := ev.Time
			if when.IsZero() {
				when = ev.Sent
			}
			if ce.SpecVersion() != "1.0" || ce.ID() != ev.ID() || ce.Source() != source ||
				ce.Type() != "com.instagram."+ev.Field || !ce.Time().Equal(when) || len(ce.Extensions()) > 0 {
				t.Errorf("attributes differ:\n%s\n%s", ce, line)
			}
			data, envelope := ce.Data(), ev.Envelope()
			if ce.DataContentType() == cloudevents.ApplicationJSON {
				data, envelope = compact(t, data), compact(t, envelope)
			}
			if !bytes.Equal(data, envelope) {
				t.Errorf("data is %q, want %q", data, envelope)
			}
		}
	}
}

func compact(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
