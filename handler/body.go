package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

// firstRead is the most memory set aside before a byte of the body has come: a
// client that only claims a large body gets no more.
const firstRead = 64 << 10

// buffer holds the body of one delivery. Large allocations cost more than the
// signature check, so buffers are used again.
type buffer struct{ data []byte }

// maxPooled is the capacity above which a buffer is left to the garbage
// collector: rare large bodies must not hold on to memory.
const maxPooled = 1 << 20

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) free() {
	if cap(b.data) <= maxPooled {
		buffers.Put(b)
	}
}

// readBody reads the whole body, at most limit bytes.
func readBody(r *http.Request, limit int64) (*buffer, *refusal) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	b := buffers.Get().(*buffer)
	if err := b.fill(r, limit); err != nil {
		b.free()
		return nil, err
	}
	return b, nil
}

func (b *buffer) fill(r *http.Request, limit int64) *refusal {
	size := int64(512)
	if r.ContentLength >= 0 {
		// One byte more lets the last read see the end without growing.
		size = min(r.ContentLength, firstRead) + 1
	}
	body := b.data[:0]
	if int64(cap(body)) < size {
		body = make([]byte, 0, size)
	}
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		b.data = body
		if int64(len(body)) > limit {
			return tooLarge(limit)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return readFailure(err)
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

func tooLarge(limit int64) *refusal {
	return bodyTooLarge.because(fmt.Errorf("the body is larger than max_size, %s", humanize.IBytes(uint64(limit))))
}

// readFailure also knows the limits that handlers before this one may have set
// on the body, such as request_body.
func readFailure(err error) *refusal {
	var tooBig *http.MaxBytesError
	var handled caddyhttp.HandlerError
	if errors.As(err, &tooBig) || errors.As(err, &handled) && handled.StatusCode == http.StatusRequestEntityTooLarge {
		return bodyTooLarge.because(errors.New("the body is larger than a limit set before instagram_webhook, such as request_body"))
	}
	return bodyIncomplete.because(fmt.Errorf("the body broke off: %w", err))
}

// replay is a body that was read already. Whoever reads from it after the
// request has ended, as the transport of a proxy may, gets an error and never
// the bytes of another delivery.
type replay struct {
	mu     sync.Mutex
	reader bytes.Reader
	buf    *buffer // nil once this body has ended
	kept   bool    // somebody may go on to read the buffer
}

func newReplay(buf *buffer) *replay {
	b := new(replay)
	b.begin(buf)
	return b
}

func (b *replay) begin(buf *buffer) {
	b.buf = buf
	b.reader.Reset(buf.data)
}

// Read reads from the body. It implements io.Reader.
func (b *replay) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.reader.Read(p)
}

// WriteTo writes the rest of the body to w. It implements io.WriterTo.
func (b *replay) WriteTo(w io.Writer) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.reader.WriteTo(w)
}

// Close does nothing: the body ends with the request.
func (*replay) Close() error { return nil }

// restart returns a body that begins anew, for the error routes. Whoever still
// reads from b gets an error.
func (b *replay) restart() *replay {
	again := newReplay(b.buf)
	again.kept = !b.stop()
	return again
}

// stop ends the body. It reports false if somebody is reading from it just now.
func (b *replay) stop() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	b.buf = nil
	return true
}

// end ends the body with its delivery, and gives the buffer back unless
// somebody is reading from it.
func (b *replay) end(d *event.Delivery) {
	buf := b.buf
	if b.stop() && !b.kept {
		d.End()
		buf.free()
	}
}

// reserved begins the names of headers that operators set from our
// placeholders. Meta sends none of these: a client that does is lying.
const reserved = "X-Instagram-"

// dropReservedHeaders removes what a client sent to imitate us, before anybody sees it.
func dropReservedHeaders(r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(name, reserved) {
			delete(r.Header, name)
		}
	}
}

// withhold takes from a request that was refused what error routes must not
// see: the body, as it may be forged, the query, which may hold a verify token,
// and the signatures.
func withhold(r *http.Request) {
	setBody(r, http.NoBody, 0)
	for _, name := range []string{"Content-Length", signatureHeader, meta.HeaderLegacySignature} {
		r.Header.Del(name)
	}
	dropQuery(r)
	ctx := r.Context()
	original, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return
	}
	dropQuery(&original)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		// For placeholders that are bound to a request before this one.
		repl.Set("http.request.orig_uri", original.RequestURI)
	}
	*r = *r.WithContext(context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, original))
}

func dropQuery(r *http.Request) {
	r.URL.RawQuery, r.URL.ForceQuery = "", false
	r.RequestURI, _, _ = strings.Cut(r.RequestURI, "?")
}

// setBody gives r a body of known length, which has neither a transfer coding
// nor trailer fields.
func setBody(r *http.Request, body io.ReadCloser, length int) {
	r.Body, r.ContentLength = body, int64(length)
	r.TransferEncoding, r.Trailer = nil, nil
	delete(r.Header, "Trailer")
}

// pass makes r what the next handler sees: the same bytes with a known length,
// and the delivery in its context.
func pass(r *http.Request, d *event.Delivery, body *replay) {
	setBody(r, body, len(d.Body))
	if length := r.Header["Content-Length"]; len(length) != 1 || !isLength(length[0], len(d.Body)) {
		r.Header.Set("Content-Length", strconv.Itoa(len(d.Body)))
	}

	ctx := r.Context()
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(d.Lookup)
	}
	// In place, because the placeholders of Caddy are bound to this request.
	*r = *r.WithContext(event.NewContext(ctx, d))
}

// isLength reports whether s is n in decimal.
func isLength(s string, n int) bool {
	var buf [20]byte
	return string(strconv.AppendInt(buf[:0], int64(n), 10)) == s
}
