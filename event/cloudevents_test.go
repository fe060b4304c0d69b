package event_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// TestAttributes holds the attributes against those in the JSON format.
func TestAttributes(t *testing.T) {
	t.Parallel()
	bodies := [][]byte{nil, []byte("null"), []byte("no JSON"), []byte("[\"\xff\"]"),
		[]byte("{\"object\":\"instagram\",\"uid\":\"\xff\",\"entry\":[{\"id\":\"1\",\"changes\":[{\"field\":\"a b\"}]}]}"),
		[]byte("{\"object\":\"instagram\",\"entry\":[{\"id\":\"1\",\"uid\":\"\xff\",\"changes\":[{\"field\":\"comments\"}]}]}"),
		[]byte(`{"object":"instagram","entry":[{"id":"1","messaging":[{"message":{"mid":"m\u00fc \"%\""}}]}]}`),
	}
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
	for _, body := range bodies {
		events := event.Split(body)
		for i := range events {
			line := events[i].AppendCloudEvent(nil)
			var written struct {
				ID string
				event.Attributes
			}
			if err := json.Unmarshal(line, &written); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			a := events[i].Attributes()
			if !a.Time.Equal(written.Time) {
				t.Errorf("time %s: %s", a.Time, line)
			}
			written.Time = a.Time
			if a != written.Attributes || written.ID != events[i].ID() {
				t.Errorf("%+v: %s", a, line)
			}
		}
	}
}
