package simulate

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

func TestRenew(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ body, want string }{
		"seconds":        {`{"entry": [{"id": "1", "time": 1793000001, "changes": []}]}`, `{"entry": [{"id": "1", "time": 1793000091, "changes": []}]}`},
		"milliseconds":   {`{"entry":[{"time":1793000001123,"id":"1"}]}`, `{"entry":[{"time":1793000091623,"id":"1"}]}`},
		"several":        {`{"entry":[{"time":10},{"time" : 20 }],"object":"x"}`, `{"entry":[{"time":100},{"time" : 110 }],"object":"x"}`},
		"an array":       {` [ {"entry":[{"time":10}]} , {"entry":[{"time":20}]}]`, ` [ {"entry":[{"time":100}]} , {"entry":[{"time":110}]}]`},
		"escaped name":   {`{"\u0065ntry":[{"tim\u0065":10}]}`, `{"\u0065ntry":[{"tim\u0065":100}]}`},
		"not a number":   {`{"entry":[{"time":"10"},{"time":1.5},{"time":null},7]}`, ``},
		"not an entry's": {`{"time":10,"entry":[{"changes":[{"time":10}]}],"x":[{"time":10}]}`, ``},
		"a lone entry":   {`{"entry":{"time":10,"id":"1"}}`, `{"entry":{"time":100,"id":"1"}}`},
		"Threads":        {`{"target_id":"2","time":10,"values":{"value":{"time":10}}}`, `{"target_id":"2","time":100,"values":{"value":{"time":10}}}`},
		"values besides": {`{"time":10,"values":[],"entry":[{"time":10}]}`, `{"time":10,"values":[],"entry":[{"time":100}]}`},
		"not JSON":       {`time=10`, ``},
		"empty":          {``, ``},
		"broken off":     {`{"entry":[{"time":10},{"time":20`, ``},
	} {
		if tc.want == "" {
			tc.want = tc.body
		}
		if got := string(renew([]byte(tc.body), 90500*time.Millisecond)); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestRenewKeepsEvents renews a body of each style: all events stay the same
// but for when they were sent.
func TestRenewKeepsEvents(t *testing.T) {
	t.Parallel()
	for _, fields := range [][]string{{"comments", "mentions"}, {"messages", "standby"}} {
		body := sample.New(4).Delivery(sample.StyleOf(fields[0]), 100, fields...)
		before, after := event.Split(body), event.Split(renew(body, time.Hour))
		for i := range before {
			b, a := &before[i], &after[i]
			if a.ID() != b.ID() || !a.Sent.Equal(b.Sent.Add(time.Hour)) || !a.Time.Equal(b.Time) {
				t.Fatalf("%s sent %s became %s sent %s", b.ID(), b.Sent, a.ID(), a.Sent)
			}
		}
	}
}

// FuzzRenew checks that renewing changes nothing but digits, and can be undone.
func FuzzRenew(f *testing.F) {
	f.Add([]byte(`{"entry": [{"id": "1", "time": 1793000001}, {"time":0}]}`))
	f.Add([]byte(`[{"entry":[{"time":1793000001123,"id":"\u0031"}]}, 3]`))
	f.Add([]byte("{\"entry\":[{\"time\":-5 \n}]}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		renewed := renew(body, 5*time.Second)
		if json.Valid(body) != json.Valid(renewed) {
			t.Fatalf("%q became %q", body, renewed)
		}
		other := func(r rune) rune {
			if '0' <= r && r <= '9' || r == '-' {
				return -1
			}
			return r
		}
		if strings.Map(other, string(body)) != strings.Map(other, string(renewed)) {
			t.Fatalf("%q became %q", body, renewed)
		}
		if same := renew(body, 0); json.Valid(body) && !bytes.Contains(body, []byte("-0")) && !bytes.Equal(same, body) {
			t.Fatalf("%q became %q", body, same)
		}
	})
}
