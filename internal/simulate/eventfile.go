package simulate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/caddy-instagram/webhooks/event"
)

// maxLine is the longest line of an event file that is read, in bytes: a
// delivery of 8 MiB in base 64 fits.
const maxLine = 16 << 20

// ErrMalformed is the error of a line that is neither a CloudEvent nor a
// delivery.
var ErrMalformed = errors.New("the line is neither a CloudEvent nor a delivery")

// line is a line of an event file as instagram_file writes it, in any of its
// formats.
type line struct {
	id   string // of a CloudEvent, else ""
	body []byte // what Meta sent: an envelope, or a whole delivery; nil: it was erased
}

// ids returns the identities of the events in the line.
func (l line) ids() []string {
	if l.id != "" {
		return []string{l.id}
	}
	if l.body == nil {
		return nil
	}
	return identities(event.Split(l.body))
}

func identities(events []event.Event) []string {
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].ID()
	}
	return ids
}

// lines reads an event file, which may be compressed. A line that is malformed
// comes with an error that wraps ErrMalformed, and reading goes on; after any
// other error it ends.
func lines(r io.Reader) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		in := decompress(r)
		defer in.close()
		reader := lineReader{in: bufio.NewReaderSize(in, 64<<10)}
		for n := 1; ; n++ {
			text, long, end := reader.next()
			var l line
			var err error
			switch {
			case long:
				err = fmt.Errorf("line %d: %w: it is longer than %d MiB", n, ErrMalformed, maxLine>>20)
			case len(text) > 0:
				if l, err = parseLine(text); err != nil {
					err = fmt.Errorf("line %d: %w", n, err)
				}
			}
			if (long || len(text) > 0) && !yield(l, err) || end == io.EOF {
				return
			}
			if end != nil {
				yield(line{}, fmt.Errorf("line %d: %w", n, end))
				return
			}
		}
	}
}

// lineReader reads lines, of which one that is longer than maxLine takes no more
// memory than that.
type lineReader struct {
	in   *bufio.Reader
	text []byte
}

// next returns a line without its end, or tells that it is too long. The last
// line comes with an error.
func (r *lineReader) next() (text []byte, long bool, err error) {
	r.text = r.text[:0]
	for {
		var part []byte
		part, err = r.in.ReadSlice('\n')
		if long = long || len(r.text)+len(part) > maxLine; !long {
			r.text = append(r.text, part...)
		}
		if err != bufio.ErrBufferFull {
			break
		}
	}
	if long {
		return nil, true, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(r.text, []byte("\n")), []byte("\r")), false, err
}

// parseLine reads a line. The result refers to no bytes of text.
func parseLine(text []byte) (line, error) {
	var parsed struct {
		SpecVersion string          `json:"specversion"`
		ID          string          `json:"id"`
		Data        json.RawMessage `json:"data"`
		DataBase64  []byte          `json:"data_base64"`
		Entry       json.RawMessage `json:"entry"`
		Erased      string          `json:"erased"`
	}
	err := json.Unmarshal(text, &parsed)
	switch {
	case !json.Valid(text):
		return line{}, ErrMalformed
	case err == nil && parsed.Erased != "" && parsed.Entry == nil && parsed.Data == nil: // by 'queue forget --files'
		return line{id: parsed.ID}, nil
	case err == nil && parsed.DataBase64 != nil && parsed.Entry == nil: // what was not JSON
		return line{parsed.ID, parsed.DataBase64}, nil
	case err == nil && parsed.SpecVersion != "" && parsed.ID != "" && parsed.Data != nil:
		return line{parsed.ID, parsed.Data}, nil
	case err == nil && parsed.SpecVersion != "":
		return line{}, ErrMalformed
	}
	return line{body: append([]byte(nil), text...)}, nil
}

// Body returns what Meta sent of a line of an event file: an envelope, or a whole delivery.
// It is nil for a line that was erased, or that is neither.
func Body(text []byte) []byte {
	l, _ := parseLine(text)
	return l.body
}

// EventFiles returns the identities of the events in files as instagram_file
// writes them, in any of its formats, compressed or not.
func EventFiles(paths ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, path := range paths {
			if !yieldEvents(path, yield) {
				return
			}
		}
	}
}

// yieldEvents yields the identities of the events in one file, and reports
// whether more are wanted.
func yieldEvents(path string, yield func(string, error) bool) bool {
	file, err := os.Open(path)
	if err != nil {
		return yield("", err)
	}
	defer file.Close()
	for l, err := range lines(file) {
		if err != nil {
			if !yield("", fmt.Errorf("%s: %w", path, err)) {
				return false
			}
			continue
		}
		for _, id := range l.ids() {
			if !yield(id, nil) {
				return false
			}
		}
	}
	return true
}
