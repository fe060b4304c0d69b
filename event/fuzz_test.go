package event_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/event/sample"
)

// FuzzSplit looks for a body of which Split loses, repeats or changes a byte,
// or an event that its envelope does not hold. See checkSplit.
func FuzzSplit(f *testing.F) {
	files, _ := filepath.Glob("testdata/deliveries/*.json")
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, texts := range [][]string{acceptedTexts, refusedTexts} {
		for _, text := range texts {
			f.Add([]byte(text))
		}
	}
	for _, place := range places {
		f.Add([]byte(place))
	}
	g := sample.New(1)
	for _, field := range event.Fields() {
		f.Add(g.Delivery(sample.StyleOf(field.Name), 2, field.Name))
	}
	f.Fuzz(checkSplit)
}
