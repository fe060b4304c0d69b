package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample is one delivery as Meta sends it.
type sample struct {
	name string
	body []byte
}

// samples returns what stands in testdata/deliveries, sorted by name, and a
// batch as large as Meta makes them.
func samples(t *testing.T) []sample {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "testdata", "deliveries", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 30 {
		t.Fatalf("only %d samples in testdata/deliveries", len(paths))
	}
	slices.Sort(paths)
	var all []sample
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sample{strings.TrimSuffix(filepath.Base(path), ".json"), body})
	}
	return append(all, sample{"batch-of-1000", batch(1000)})
}

// batch is one delivery of n updates.
func batch(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"object":"instagram","entry":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"time":%d,"id":"17841%012d","messaging":[{"sender":{"id":"5%015d"},"recipient":{"id":"17841%012d"},`+
			`"timestamp":%d,"message":{"mid":"aWdfZAG1faXRlbTox%0150dZDZD","text":"one of many \ud83d\udce6 https:\/\/example.com\/%d"}}]}`,
			1790000000000+i, i, i, i, 1790000000000+i, i, i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// asLine is a body as instagram_file promises to write it: byte for byte, and
// compacted only where it holds raw line breaks.
func asLine(t *testing.T, body []byte) string {
	t.Helper()
	if !bytes.ContainsAny(body, "\r\n") {
		return string(body)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		t.Fatal(err)
	}
	return line.String()
}
