package event_test

import (
	"encoding/json"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// The same structure as encoding/json sees it: everything that Split finds,
// and the raw items.
type (
	jsonDelivery struct {
		Object json.RawMessage `json:"object"`
		Entry  []jsonEntry     `json:"entry"`
	}
	jsonEntry struct {
		ID        string          `json:"id"`
		Time      json.RawMessage `json:"time"`
		Changes   []jsonItem      `json:"changes"`
		Messaging []jsonItem      `json:"messaging"`
		Standby   []jsonItem      `json:"standby"`
	}
	jsonItem struct {
		jsonDetails
		Field string      `json:"field"`
		Value jsonDetails `json:"value"`
	}
	jsonDetails struct {
		ID        string          `json:"id"`
		CommentID string          `json:"comment_id"`
		MediaID   string          `json:"media_id"`
		Media     jsonReference   `json:"media"`
		From      jsonReference   `json:"from"`
		Sender    jsonReference   `json:"sender"`
		Recipient jsonReference   `json:"recipient"`
		Timestamp json.RawMessage `json:"timestamp"`
		Message   *jsonContent    `json:"message"`
		Reaction  *jsonContent    `json:"reaction"`
		Read      *jsonContent    `json:"read"`
		Edit      *jsonContent    `json:"message_edit"`
		Postback  *jsonContent    `json:"postback"`
		Referral  *jsonContent    `json:"referral"`
	}
	jsonReference struct {
		ID string `json:"id"`
	}
	jsonContent struct {
		MID     string          `json:"mid"`
		Action  string          `json:"action"`
		NumEdit json.RawMessage `json:"num_edit"`
		Payload string          `json:"payload"`
		Ref     string          `json:"ref"`
		Echo    bool            `json:"is_echo"`
		Deleted bool            `json:"is_deleted"`
	}
)

var batches = []struct {
	name string
	body []byte
}{
	{"one message", sample.New(1).Delivery(sample.Compact, 1, "messages")},
	{"one comment", sample.New(1).Delivery(sample.Spaced, 1, "comments")},
	{"1000 messages", sample.New(1).Delivery(sample.Compact, 1000, "messages", "message_reactions", "messaging_seen")},
	{"1000 comments", sample.New(1).Delivery(sample.Spaced, 1000, "comments", "live_comments", "mentions")},
}

func BenchmarkSplit(b *testing.B) {
	for _, batch := range batches {
		b.Run(batch.name, func(b *testing.B) {
			b.SetBytes(int64(len(batch.body)))
			b.ReportAllocs()
			for b.Loop() {
				event.Split(batch.body)
			}
		})
	}
}

// BenchmarkSplitJSON is what BenchmarkSplit must beat.
func BenchmarkSplitJSON(b *testing.B) {
	for _, batch := range batches {
		b.Run(batch.name, func(b *testing.B) {
			b.SetBytes(int64(len(batch.body)))
			b.ReportAllocs()
			for b.Loop() {
				var d jsonDelivery
				if err := json.Unmarshal(batch.body, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkValid is the measure of the machine's speed.
func BenchmarkValid(b *testing.B) {
	for _, batch := range batches {
		b.Run(batch.name, func(b *testing.B) {
			b.SetBytes(int64(len(batch.body)))
			for b.Loop() {
				json.Valid(batch.body)
			}
		})
	}
}

func BenchmarkID(b *testing.B) {
	ev := event.Split(batches[0].body)[0]
	b.ReportAllocs()
	for b.Loop() {
		_ = ev.ID()
	}
}

func BenchmarkCloudEvent(b *testing.B) {
	ev := event.Split(batches[0].body)[0]
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = ev.AppendCloudEvent(buf[:0])
	}
}

// BenchmarkStored is all that is needed of an event to store it, beside its
// signature.
func BenchmarkStored(b *testing.B) {
	for _, batch := range batches {
		b.Run(batch.name, func(b *testing.B) {
			n := 0
			var text []byte
			b.ReportAllocs()
			for b.Loop() {
				text = text[:0]
				events := event.Split(batch.body)
				for i := range events {
					e := &events[i]
					text = e.AppendEnvelope(text)
					_, _ = e.Identify()
					_ = e.Conversation()
				}
				n += len(events)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
		})
	}
}
