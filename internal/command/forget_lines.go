package command

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/jsonscan"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

// holds reports whether a line of an event file holds somebody. What is no event, such as a
// line that a crash has cut off, does if it has the id as a word.
func holds(text []byte, s *queue.Subject) bool {
	if s.User != "" && s.Holds(&queue.Record{Body: text}) {
		return true
	}
	body := simulate.Body(text)
	if body == nil {
		left := leftOf(text)
		return jsonscan.HasScalar(string(text), s.ID()) ||
			left.Erased != "" && (s.Holds(&queue.Record{Identity: left.ID}) || s.Holds(&queue.Record{Identity: left.Source}))
	}
	for _, ev := range event.Split(body) {
		if s.Holds(&queue.Record{Account: ev.Account, Body: body}) {
			return true
		}
	}
	return false
}

// erasedText is what is left of a line: the attributes of a CloudEvent, or the object of a
// delivery.
type erasedText struct {
	SpecVersion string `json:"specversion,omitempty"`
	ID          string `json:"id,omitempty"`
	Source      string `json:"source,omitempty"`
	Type        string `json:"type,omitempty"`
	Time        string `json:"time,omitempty"`
	Object      string `json:"object,omitempty"`
	Erased      string `json:"erased"`
	Because     string `json:"erasedbecause,omitempty"`
}

// leftOf returns what is left of a line that is erased.
func leftOf(text []byte) (left erasedText) {
	_ = json.Unmarshal(text, &left) // what cannot be read is left out
	return left
}

// withoutData returns what replaces a line.
func withoutData(text []byte, e *queue.Erasure) []byte {
	left := leftOf(text)
	left.ID = e.Left(queue.Record{Identity: left.ID}).Identity
	left.Source = e.Left(queue.Record{Identity: left.Source}).Identity
	left.Erased, left.Because = e.At.UTC().Format(time.RFC3339), e.Because
	line, _ := json.Marshal(left) // it is only strings
	return line
}

// eachLine calls visit with the lines of a file, each with its line feed, and their numbers
// from 1, until ctx is canceled.
func eachLine(ctx context.Context, f io.Reader, c *codec, visit func(n int, text []byte) error) error {
	if c != nil {
		r, err := c.reader(f)
		if err != nil {
			return err
		}
		defer r.Close()
		f = r
	}
	in := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		text, err := in.ReadBytes('\n')
		if len(text) > 0 {
			if err := visit(n, text); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// codec is how a file is compressed.
type codec struct {
	reader func(io.Reader) (io.ReadCloser, error)
	writer func(io.Writer) (io.WriteCloser, error)
}

var codecs = map[string]*codec{
	".gz": {
		func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) },
		func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	},
	".zst": {
		func(r io.Reader) (io.ReadCloser, error) {
			z, err := zstd.NewReader(r)
			if err != nil {
				return nil, err
			}
			return z.IOReadCloser(), nil
		},
		func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	},
}

// codecOf returns how a file is compressed by its name, or nil.
func codecOf(path string) *codec { return codecs[filepath.Ext(path)] }

// bufferedLines is a buffered writer that is flushed when it is closed.
type bufferedLines struct{ *bufio.Writer }

func (b bufferedLines) Close() error { return b.Flush() }
