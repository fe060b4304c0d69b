package event_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden pins what becomes of a delivery of each shape. The ids in the
// golden files must never change: stores outlive releases.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/deliveries/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no deliveries: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, ev := range event.Split(body) {
				describe(&got, &ev)
			}
			golden := strings.TrimSuffix(file, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("events differ from %s:\n%s", golden, got.String())
			}
			checkSplit(t, body)
		})
	}
}

func describe(b *strings.Builder, ev *event.Event) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-13s %s\n", name, value)
		}
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339Nano)
	}
	flags := ""
	for _, f := range []struct {
		name string
		set  bool
	}{{"test ", ev.Test}, {"echo ", ev.Echo}, {"unsent ", ev.Unsent}} {
		if f.set {
			flags += f.name
		}
	}
	line("field", ev.Field)
	line("kind", string(ev.Kind))
	line("object", ev.Object)
	line("account", ev.Account)
	line("sent", when(ev.Sent))
	line("time", when(ev.Time))
	line("sender", ev.Sender)
	line("recipient", ev.Recipient)
	line("flags", strings.TrimSpace(flags))
	line("id", ev.ID())
	line("conversation", ev.Conversation())
	line("envelope", string(ev.Envelope()))
	line("cloudevent", string(ev.AppendCloudEvent(nil)))
	b.WriteByte('\n')
}
