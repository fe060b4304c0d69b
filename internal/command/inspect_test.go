package command

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/inspector"
)

// knock asks at the door. The cookie may be empty.
func knock(d *door, method, target, host, cookie string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: d.name, Value: cookie})
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestDoor(t *testing.T) {
	t.Parallel()
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "{}") })
	d := newDoor("127.0.0.1:8000", inspector.NewServer(api, nil, zap.NewNop()))
	const host = "127.0.0.1:8000"
	refused := func(when, method, target, host, cookie string) {
		t.Helper()
		if w := knock(d, method, target, host, cookie); w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %s", when, w.Code, w.Body)
		}
	}
	refused("nobody", "GET", "/", host, "")
	refused("nobody, below api", "GET", "/api/overview", host, "")
	refused("an empty token", "GET", "/?token=", host, "")
	refused("a wrong token", "GET", "/?token=x", host, "")
	refused("a wrong cookie", "GET", "/", host, "x")
	refused("the token in a cookie", "GET", "/", host, d.token)
	refused("the cookie in the URL", "GET", "/?token="+d.cookie, host, "")
	refused("the token by POST", "POST", "/?token="+d.token, host, "")
	refused("the token at another path", "GET", "/api/overview?token="+d.token, host, "")
	refused("another name of this machine", "GET", "/?token="+d.token, "evil.example:8000", "")

	token := d.token
	w := knock(d, "GET", "/?token="+token, host, "")
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" || len(cookies) != 1 {
		t.Fatalf("the token: %d %v", w.Code, w.Header())
	}
	if c := cookies[0]; c.Value != d.cookie || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Name != "instagram_inspect_8000" {
		t.Errorf("the cookie is %s", c)
	}
	refused("the token, once more", "GET", "/?token="+token, host, "")
	refused("no token, now that there is none", "GET", "/?token=", host, "")
	refused("the cookie, by another name of this machine", "GET", "/", "evil.example:8000", d.cookie)
	// The port is another one through ssh -L.
	for _, host := range []string{host, "localhost:9000", "[::1]:8000", "127.0.0.1"} {
		if w := knock(d, "GET", "/", host, d.cookie); w.Code != 200 || !strings.Contains(w.Body.String(), "<html") {
			t.Errorf("the cookie, at %s: %d %s", host, w.Code, w.Body)
		}
	}
	if w := knock(d, "GET", "/api/overview", host, d.cookie); w.Code != 200 || !strings.Contains(w.Body.String(), "caddy instagram inspect") {
		t.Errorf("below api: %d %s", w.Code, w.Body)
	}
}

func TestListenOnThisMachineOnly(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:8000", ":8000", "192.0.2.1:8000", "hooks.example.com:8000", "8000", "127.0.0.1"} {
		if err := serveInspector(t.Context(), nil, nil, listen, false); err == nil || !strings.Contains(err.Error(), "ssh -L") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

// TestPass has an admin endpoint at a socket that answers, refuses, streams and is gone.
func TestPass(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "inspect") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	endpoint := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/instagram/live":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: 8\n\nafter "+r.Header.Get("Last-Event-ID")+"\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		case "/instagram/refused":
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"error":"it is being delivered"}`)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI())
		}
	})}
	go func() { _ = endpoint.Serve(listener) }()
	a := &adminClient{address: "unix/" + listener.Addr().String()}
	h, err := a.handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	ask := func(ctx context.Context, method, path string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Last-Event-ID", "7")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	for path, want := range map[string]string{
		"/instagram/queue/events/7?consumer=crm": "200 DELETE /instagram/queue/events/7?consumer=crm",
		"/instagram/refused":                     `409 {"error":"it is being delivered"}`,
	} {
		resp := ask(t.Context(), http.MethodDelete, path)
		text, err := io.ReadAll(resp.Body)
		if got := resp.Status[:4] + string(text); err != nil || got != want || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %v, want %s", path, got, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := bufio.NewScanner(ask(ctx, http.MethodGet, "/instagram/live").Body)
	for stream.Scan() && stream.Text() != "after 7" {
	}
	if stream.Text() != "after 7" {
		t.Errorf("the stream did not come: %v", stream.Err())
	}
	cancel()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the stream goes on though nobody reads")
	}
	endpoint.Close()
	resp := ask(t.Context(), http.MethodGet, "/instagram/overview")
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(text), "no Caddy answers at") {
		t.Errorf("without Caddy: %s %s", resp.Status, text)
	}
}
