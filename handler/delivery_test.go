package handler

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/meta"
)

func TestDeliveryReachesTheNextHandlerUnchanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, body := range map[string]string{
		"usual":         testBody,
		"empty":         "",
		"spaces":        " \r\n\t{ \"object\" : \"instagram\" } \n",
		"escapes":       `{"text":"\u00e9\/\ud83c\udf05 "}`,
		"not UTF-8":     "{\"text\":\"\xff\xfe\"}",
		"not JSON":      "object=instagram&entry=",
		"zero bytes":    "\x00\x00",
		"a batch":       strings.Repeat(testBody, 4000),
		"at max_size":   strings.Repeat("x", DefaultMaxSize),
		"at first read": strings.Repeat("x", firstRead),
		"just over it":  strings.Repeat("x", firstRead+1),
	} {
		for form, prepare := range map[string]func(*http.Request){
			"length": func(*http.Request) {},
			"chunked": func(r *http.Request) {
				r.ContentLength = -1
				r.TransferEncoding = []string{"chunked"}
			},
			"trailer": func(r *http.Request) {
				r.ContentLength = -1
				r.Header.Set("Trailer", "X-Late")
				r.Trailer = http.Header{"X-Late": nil}
			},
			"byte by byte": func(r *http.Request) {
				if len(body) < 1<<20 {
					r.Body = io.NopCloser(iotest.OneByteReader(r.Body))
				}
			},
			"end with data": func(r *http.Request) { r.Body = io.NopCloser(iotest.DataErrReader(r.Body)) },
		} {
			t.Run(name+"/"+form, func(t *testing.T) {
				t.Parallel()
				r := newDelivery(body)
				prepare(r)
				a := f.serve(t, r)
				if a.Code != http.StatusOK || !a.passed {
					t.Fatalf("got %d, passed on: %t", a.Code, a.passed)
				}
				if string(a.body) != body || string(a.signed) != body {
					t.Error("the body was changed")
				}
				if a.request.ContentLength != int64(len(body)) || a.request.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
					t.Errorf("length: got %d and %q, want %d", a.request.ContentLength, a.request.Header.Get("Content-Length"), len(body))
				}
				if a.request.TransferEncoding != nil || a.request.Trailer != nil || a.request.Header.Get("Trailer") != "" {
					t.Error("a known length needs neither transfer coding nor trailer")
				}
				if a.delivery.Secret != "instagram" {
					t.Errorf("secret: got %q", a.delivery.Secret)
				}
			})
		}
	}
}

func TestDeliveryHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := newDelivery(testBody)
	r.Header.Set("X-Hub-Signature", "sha1=0000000000000000000000000000000000000000")
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Content-Length", strconv.Itoa(len(testBody)))
	want := r.Header.Clone()
	r.Header.Set("X-Instagram-Secret", "a lie")
	r.Header.Set("X-Instagram-Anything", "another")
	for _, name := range []string{"X_Instagram_Secret", "x-instagram_secret", "X_Hub_Signature_256", "X-Hub-Signature_256", "x_hub_signature"} {
		r.Header.Set(name, "for PHP, an underscore is a hyphen")
	}
	a := f.serve(t, r)
	for name := range a.request.Header {
		if a.request.Header.Get(name) != want.Get(name) {
			t.Errorf("%s: got %q, want %q", name, a.request.Header[name], want[name])
		}
	}
	if len(a.request.Header) != len(want) {
		t.Errorf("got headers %v, want %v", a.request.Header, want)
	}
}

func TestDeliverySignatureForms(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(h *Handler) {
		h.AppSecrets = []AppSecret{{Secret: "the first secret"}, {Name: "two", Secret: "the second secret"}, {Secret: testSecret}}
	})
	for _, tc := range []struct{ name, signature, secret string }{
		{"first secret", sign("the first secret", testBody), "secret1"},
		{"second secret", sign("the second secret", testBody), "two"},
		{"third secret", sign(testSecret, testBody), "secret3"},
		{"upper case", "sha256=" + strings.ToUpper(sign("the first secret", testBody)[len("sha256="):]), "secret1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newDelivery(testBody)
			r.Header.Set(meta.HeaderSignature, tc.signature)
			a := f.serve(t, r)
			if a.Code != http.StatusOK || a.delivery == nil || a.delivery.Secret != tc.secret {
				t.Fatalf("got %d, %+v; want 200 by %q", a.Code, a.delivery, tc.secret)
			}
		})
	}
}

func TestDeliveryPlaceholders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var got string
	f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, r *http.Request) error {
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		got = repl.ReplaceKnown("{instagram.secret} {instagram.size} {instagram.count} {instagram.field} {instagram.unknown}", "")
		return caddyhttp.Error(http.StatusTeapot, nil)
	})
	if want := "instagram " + strconv.Itoa(len(testBody)) + " 1 unparsed {instagram.unknown}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeliveryThatNobodyTakes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nothing := func(http.ResponseWriter, *http.Request) error { return nil }
	if a := f.serveTo(t, newDelivery(testBody), nothing); a.Code != http.StatusServiceUnavailable {
		t.Errorf("nobody took the delivery: got %d, want 503", a.Code)
	}
	taken := func(_ http.ResponseWriter, r *http.Request) error {
		event.FromContext(r.Context()).Accept()
		return nil
	}
	if a := f.serveTo(t, newDelivery(testBody), taken); a.Code != http.StatusOK {
		t.Errorf("a handler took the delivery: got %d, want 200", a.Code)
	}
	hints := func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		return nil
	}
	f.serveTo(t, newDelivery(testBody), hints)
	if got := testutil.ToFloat64(f.metrics.deliveries.WithLabelValues("untaken", "instagram")); got != 2 {
		t.Errorf("untaken: counted %v, want 2", got)
	}
	if got := testutil.ToFloat64(f.metrics.deliveries.WithLabelValues("accepted", "instagram")); got != 1 {
		t.Errorf("accepted: counted %v, want 1", got)
	}
}

func TestDeliveryAnswerOfTheNextHandlerStands(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusTeapot)
		_, err := io.WriteString(w, "short and stout")
		return err
	})
	if a.Code != http.StatusTeapot || a.Body.String() != "short and stout" {
		t.Errorf("got %d %q", a.Code, a.Body)
	}
	a = f.serveTo(t, newDelivery(testBody), func(http.ResponseWriter, *http.Request) error {
		return caddyhttp.Error(http.StatusBadGateway, errors.New("nobody home"))
	})
	if a.Code != http.StatusBadGateway {
		t.Errorf("got %d, want 502", a.Code)
	}
	a = f.serveTo(t, newDelivery(testBody), func(http.ResponseWriter, *http.Request) error {
		return errors.New("not a handler error")
	})
	if a.Code != http.StatusInternalServerError {
		t.Errorf("got %d, want 500", a.Code)
	}
}

// TestPlaceholdersAfterTheRequest checks that handlers around this one, which see
// the placeholders late, see no wrong values.
func TestPlaceholdersAfterTheRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	size := strconv.Itoa(len(testBody))
	for used, want := range map[bool]string{true: "instagram " + size + " 1 unparsed", false: "instagram " + size + " 0 "} {
		var repl *caddy.Replacer
		f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, r *http.Request) error {
			repl = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
			if used {
				repl.ReplaceAll("{instagram.field}", "")
			}
			w.WriteHeader(http.StatusOK)
			return nil
		})
		if got := repl.ReplaceAll("{instagram.secret} {instagram.size} {instagram.count} {instagram.field}", ""); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDeliveryMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.serve(t, newDelivery(testBody))
	f.serve(t, newDelivery(testBody+" "))
	if got := testutil.ToFloat64(f.metrics.deliveries.WithLabelValues("accepted", "instagram")); got != 2 {
		t.Errorf("accepted: got %v, want 2", got)
	}
	if got, want := testutil.ToFloat64(f.metrics.bytes), float64(2*len(testBody)+1); got != want {
		t.Errorf("bytes: got %v, want %v", got, want)
	}
	if got := testutil.CollectAndCount(f.metrics.seconds); got != 1 {
		t.Errorf("seconds: got %d histograms", got)
	}
}

// TestBodyMemory holds a client that claims much and sends little to what it
// sent.
func TestBodyMemory(t *testing.T) {
	t.Parallel()
	const claimed = 4 << 20
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(make([]byte, 10)))
	r.ContentLength = claimed
	b := new(buffer)
	if refused := b.fill(r, DefaultMaxSize); refused != nil || b.Cap() > 2*firstRead {
		t.Errorf("ten bytes took a buffer of %d (%v)", b.Cap(), refused)
	}
}

// TestBodyEndsWithTheRequest checks that nobody who keeps the body of an ended
// request can read another delivery through it.
func TestBodyEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var kept io.ReadCloser
	var delivery *event.Delivery
	f.serveTo(t, newDelivery(testBody), func(w http.ResponseWriter, r *http.Request) error {
		kept, delivery = r.Body, event.FromContext(r.Context())
		w.WriteHeader(http.StatusOK)
		return nil
	})
	if got, err := io.ReadAll(kept); len(got) != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("got %q, %v", got, err)
	}
	if n, err := io.Copy(io.Discard, kept); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("copied %d bytes, %v", n, err)
	}
	if delivery.Body != nil {
		t.Error("the delivery still has a body")
	}
}

// TestBodyBeingReadIsNotUsedAgain checks that a slow reader, in the middle of a
// body that ends, gets an error and nothing of the delivery that uses its buffer
// next.
func TestBodyBeingReadIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	data := []byte(testBody)
	b := new(replay)
	b.reader.Reset(data)
	reading, proceed := make(chan struct{}), make(chan struct{})
	var got bytes.Buffer
	done := make(chan error)
	go func() {
		_, err := io.Copy(writerFunc(func(p []byte) (int, error) {
			close(reading)
			<-proceed
			return got.Write(p)
		}), iotest.OneByteReader(b))
		done <- err
	}()
	<-reading
	b.end()
	clear(data)
	close(proceed)
	if err := <-done; !errors.Is(err, http.ErrBodyReadAfterClose) || got.String() != testBody[:1] {
		t.Errorf("got %q, %v", &got, err)
	}
}

// TestBodyBeginsAnewForErrorRoutes checks that an error route gets all of the
// body, and that whoever read it before gets no more of it.
func TestBodyBeginsAnewForErrorRoutes(t *testing.T) {
	t.Parallel()
	b := new(replay)
	b.reader.Reset([]byte(testBody))
	if _, err := io.CopyN(io.Discard, b, 10); err != nil {
		t.Fatal(err)
	}
	again := b.restart([]byte(testBody))
	if n, err := b.Read(make([]byte, 10)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("the first reader: %d, %v", n, err)
	}
	if text, err := io.ReadAll(again); err != nil || string(text) != testBody {
		t.Errorf("the error route: %q, %v", text, err)
	}
	again.end()
	if n, err := again.Read(make([]byte, 10)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

// TestErrorRouteReadsTheBody checks that an error route sees the whole body of a
// delivery that the next handler has read, and that its buffer is given back.
func TestErrorRouteReadsTheBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Errors = errorRoute(t, `{"handler":"static_response","body":"{http.request.body}"}`)
	a := f.serveTo(t, newDelivery(testBody), returns(errors.New("no")))
	if a.Code != http.StatusInternalServerError || a.Body.String() != testBody {
		t.Errorf("got %d %q", a.Code, a.Body)
	}
	if a.delivery.Body != nil {
		t.Error("the buffer was not given back")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
