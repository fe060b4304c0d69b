package simulate

import (
	"strconv"
	"time"

	"github.com/caddy-instagram/webhooks/internal/jsonscan"
)

// maxSeconds is the greatest time that is taken for seconds: greater ones are
// milliseconds.
const maxSeconds = 1e11

// renew returns body as Meta sends it again after a while: with every
// entry.time moved on, and all else byte for byte the same. A time keeps its
// unit. What has no times, or is not JSON, is returned as it is.
func renew(body []byte, by time.Duration) []byte {
	r := renewal{Scanner: jsonscan.Scanner{Text: string(body)}, by: by}
	if !jsonscan.Valid(r.Text) {
		return body
	}
	r.Space()
	r.deliveries()
	return append(r.out, r.Text[r.copied:]...)
}

// renewal copies a body and changes times on the way.
type renewal struct {
	jsonscan.Scanner
	by     time.Duration
	out    []byte
	copied int // bytes of the body that are in out
}

// deliveries reads a delivery, or an array of these.
func (r *renewal) deliveries() {
	if r.Peek() == '[' {
		for range r.Elements {
			r.deliveries()
		}
		return
	}
	start := r.Pos
	var entries, values bool
	for _, name := range r.Members {
		switch name {
		case "entry":
			entries = true
			r.entries()
		case "values":
			values = true
		}
	}
	if values && !entries { // of Threads, with the time in the delivery itself
		r.Pos = start
		r.entry()
	}
}

// entries reads an array of entries, or a lone one.
func (r *renewal) entries() {
	if r.Peek() != '[' {
		r.entry()
		return
	}
	for range r.Elements {
		r.entry()
	}
}

func (r *renewal) entry() {
	for _, name := range r.Members {
		if name == "time" {
			r.time()
		}
	}
}

func (r *renewal) time() {
	at := r.Pos
	n, err := strconv.ParseInt(r.Raw(), 10, 64)
	if err != nil {
		return
	}
	unit := time.Millisecond
	if n < maxSeconds {
		unit = time.Second
	}
	r.out = append(r.out, r.Text[r.copied:at]...)
	r.out = strconv.AppendInt(r.out, n+int64(r.by/unit), 10)
	r.copied = r.Pos
}
