package simulate

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// maxSeconds is the greatest time that is taken for seconds: greater ones are
// milliseconds.
const maxSeconds = 1e11

// renew returns body as Meta sends it again after a while: with every
// entry.time moved on, and all else byte for byte the same. A time keeps its
// unit. What has no times is returned as it is.
func renew(body []byte, by time.Duration) []byte {
	r := renewal{body: body, by: by}
	r.deliveries(body, 0)
	return append(r.out, body[r.done:]...)
}

// renewal copies a body and changes times on the way.
type renewal struct {
	body []byte
	by   time.Duration
	out  []byte
	done int // bytes of body that are in out
}

// deliveries walks a delivery, or an array of these, which begins at at.
func (r *renewal) deliveries(text []byte, at int) {
	elements(text, at, r.deliveries)
	var entries, values bool
	members(text, at, func(name string, value []byte, at int) {
		switch name {
		case "entry":
			entries = true
			elements(value, at, r.entry)
			r.entry(value, at) // a lone one
		case "values":
			values = true
		}
	})
	if values && !entries { // of Threads, with the time in the delivery itself
		r.entry(text, at)
	}
}

func (r *renewal) entry(text []byte, at int) {
	members(text, at, func(name string, value []byte, at int) {
		if name != "time" {
			return
		}
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return
		}
		unit := time.Millisecond
		if n < maxSeconds {
			unit = time.Second
		}
		n += int64(r.by / unit)
		r.out = append(r.out, r.body[r.done:at]...)
		r.out = strconv.AppendInt(r.out, n, 10)
		r.done = at + len(value)
	})
}

// members calls visit for each member of the JSON object text, which begins at
// at. It stops where text is not JSON, and does nothing if it is no object.
func members(text []byte, at int, visit func(name string, value []byte, at int)) {
	walk(text, at, '{', visit)
}

// elements is members for the elements of an array.
func elements(text []byte, at int, visit func(value []byte, at int)) {
	walk(text, at, '[', func(_ string, value []byte, at int) { visit(value, at) })
}

func walk(text []byte, at int, open json.Delim, visit func(name string, value []byte, at int)) {
	in := json.NewDecoder(bytes.NewReader(text))
	if token, err := in.Token(); err != nil || token != open {
		return
	}
	for in.More() {
		var name string
		if open == '{' {
			token, err := in.Token()
			if err != nil {
				return
			}
			name, _ = token.(string)
		}
		var value json.RawMessage
		if in.Decode(&value) != nil {
			return
		}
		visit(name, value, at+int(in.InputOffset())-len(value))
	}
}
