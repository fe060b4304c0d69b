package handler

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// rewound is a request whose body can be read again, so that a benchmark
// measures the handler and not the making of requests.
type rewound struct {
	*http.Request
	body   *bytes.Reader
	closer io.ReadCloser
}

func newRewound(body string) *rewound {
	r := newDelivery(body)
	reader := bytes.NewReader([]byte(body))
	return &rewound{r, reader, io.NopCloser(reader)}
}

func (r *rewound) rewind() *http.Request {
	r.body.Seek(0, io.SeekStart)
	r.Body = r.closer
	return r.Request
}

var sizes = []int{500, 64 << 10}

// BenchmarkBareHMAC is what authentication is held against.
func BenchmarkBareHMAC(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body, key := bytes.Repeat([]byte("x"), size), []byte(testSecret)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				mac := hmac.New(sha256.New, key)
				mac.Write(body)
				mac.Sum(nil)
			}
		})
	}
}

// BenchmarkAuthenticate reads a body and checks its signature, with one secret
// and with five of which the last matches.
func BenchmarkAuthenticate(b *testing.B) {
	for _, size := range sizes {
		for _, secrets := range []int{1, 5} {
			b.Run(fmt.Sprintf("%d/secrets=%d", size, secrets), func(b *testing.B) {
				f := newFixture(b, withSecrets(secrets))
				r := newRewound(strings.Repeat("x", size))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					_, body, rejected := f.checkDelivery(r.rewind())
					if rejected != nil {
						b.Fatal(rejected.err)
					}
					body.free()
				}
			})
		}
	}
}

// BenchmarkServeHTTP is the whole way of a delivery through the handler.
func BenchmarkServeHTTP(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := newFixture(b)
			r := newRewound(strings.Repeat("x", size))
			w := httptest.NewRecorder()
			next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				w.WriteHeader(http.StatusOK)
				return nil
			})
			prepared := caddyhttp.PrepareRequest(r.Request, caddy.NewReplacer(), w, f.server)
			r.Request = prepared
			ctx := prepared.Context()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				*prepared = *prepared.WithContext(ctx)
				if err := f.ServeHTTP(w, r.rewind(), next); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func withSecrets(n int) func(*Handler) {
	return func(h *Handler) {
		h.AppSecrets = nil
		for i := range n - 1 {
			h.AppSecrets = append(h.AppSecrets, AppSecret{Secret: fmt.Sprintf("other app secret %d", i)})
		}
		h.AppSecrets = append(h.AppSecrets, AppSecret{Secret: testSecret})
	}
}
