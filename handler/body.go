package handler

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"
)

// firstRead is the most memory set aside before a byte of the body has come: a
// client that only claims a large body gets no more.
const firstRead = 64 << 10

// buffer holds the body of one delivery. Large allocations cost more than the
// signature check, so buffers are used again.
type buffer struct {
	bytes.Buffer
	limited io.LimitedReader
}

// maxPooled is the capacity above which a buffer is left to the garbage
// collector: rare large bodies must not hold on to memory.
const maxPooled = 1 << 20

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) free() {
	b.limited.R = nil
	if b.Cap() <= maxPooled {
		buffers.Put(b)
	}
}

// readBody reads the whole body, at most limit bytes.
func readBody(r *http.Request, limit int64) (*buffer, *rejection) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	b := buffers.Get().(*buffer)
	if rejected := b.fill(r, limit); rejected != nil {
		b.free()
		return nil, rejected
	}
	return b, nil
}

func (b *buffer) fill(r *http.Request, limit int64) *rejection {
	b.Reset()
	// The last read sees the end of the body without growing the buffer.
	b.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	b.limited = io.LimitedReader{R: r.Body, N: max(limit, limit+1)} // limit+1 may overflow
	_, err := b.ReadFrom(&b.limited)
	switch {
	case int64(b.Len()) > limit:
		return tooLarge(limit)
	case err != nil:
		return readFailure(err)
	}
	return nil
}

func tooLarge(limit int64) *rejection {
	return bodyTooLarge.withCause(fmt.Errorf("the body is larger than max_size, %s", humanize.IBytes(uint64(limit))))
}

// readFailure also knows the limits that handlers before this one may have set
// on the body, such as request_body.
func readFailure(err error) *rejection {
	var tooBig *http.MaxBytesError
	var handled caddyhttp.HandlerError
	if errors.As(err, &tooBig) || errors.As(err, &handled) && handled.StatusCode == http.StatusRequestEntityTooLarge {
		return bodyTooLarge.withCause(
			errors.New("the body is larger than a limit set before instagram_webhook, such as request_body"))
	}
	return bodyIncomplete.withCause(fmt.Errorf("the body broke off: %w", err))
}

// replay is a body that was read already. Whoever reads from it after the
// request has ended, as the transport of a proxy may, gets an error and never
// the bytes of another delivery.
type replay struct {
	mu     sync.Mutex
	reader bytes.Reader
	ended  bool
}

// Read reads from the body. It implements io.Reader. There is no WriteTo: it would
// give the buffer away to a writer that may be slow.
func (b *replay) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.reader.Read(p)
}

// Close does nothing: the body ends with the request.
func (*replay) Close() error { return nil }

// restart ends b and returns a body that begins anew.
func (b *replay) restart(data []byte) *replay {
	b.end()
	again := new(replay)
	again.reader.Reset(data)
	return again
}

// end ends the body: once it returns, nobody reads from the buffer.
func (b *replay) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.reader.Reset(nil)
}
