package command

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"os/user"
	"runtime"
	"strings"
	"sync"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/inspector"
	"github.com/caddy-instagram/webhooks/internal/inprocess"
	"github.com/caddy-instagram/webhooks/internal/loopback"
)

func inspectCommand() *cobra.Command {
	a := new(adminClient)
	var listen string
	var open bool
	cmd := a.command("inspect", "Show what comes and what becomes of it in a browser", `
Serves a page on this machine that shows deliveries, refusals and attempts as they
happen, the events in the queues, and the causes of dead letters: what the admin API
of the running Caddy knows. The page can retry and discard events, and pause
consumers. It is the page of the directive instagram_inspector.

The printed URL can be used once: it lets one browser in, and nobody else on this
machine. Through 'ssh -L 8000:127.0.0.1:8000' it works with '--listen 127.0.0.1:8000'.
With --open it is for a moment among the arguments of a process: where others have an
account on this machine, open the URL yourself, as they could see it and be first.

Text, names and links of people are masked until they are revealed, which the log of
Caddy tells.
`+queueExitCodes, `  $ caddy instagram inspect
  $ caddy instagram inspect --open
  $ caddy instagram inspect --listen 127.0.0.1:8000 --address unix//run/caddy/admin.sock`,
		0, func(ctx context.Context, c *console, _ []string) (result, error) {
			api, err := a.handler()
			if err != nil {
				return nil, err
			}
			return nil, serveInspector(ctx, c, api, listen, open)
		})
	a.register(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "Listen at this `address` of this machine; port 0 is any that is free")
	cmd.Flags().BoolVar(&open, "open", false, "Open the page in a browser")
	return a.withFile(cmd)
}

// handler returns the endpoints of the admin API.
func (a *adminClient) handler() (http.Handler, error) {
	if err := a.connect(); err != nil {
		return nil, err
	}
	if a.api != nil {
		return a.api, nil
	}
	return http.HandlerFunc(a.pass), nil
}

// pass passes a request on to a running Caddy.
func (a *adminClient) pass(w http.ResponseWriter, r *http.Request) {
	header := http.Header{"Connection": {"close"}}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		header.Set("Last-Event-ID", last)
	}
	resp, err := caddycmd.AdminAPIRequest(a.at, r.Method, r.URL.RequestURI(), header, nil)
	if err != nil {
		refused := answered(err)
		if refused == nil {
			refused = &inprocess.Response{Status: http.StatusBadGateway}
			_ = json.NewEncoder(&refused.Body).Encode(map[string]string{"error": a.unanswered(err).Error()})
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(refused.Status)
		_, _ = refused.Body.WriteTo(w)
		return
	}
	defer resp.Body.Close()
	defer context.AfterFunc(r.Context(), func() { resp.Body.Close() })()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(flushing{w, http.NewResponseController(w)}, resp.Body)
}

// flushing is a writer that sends all that is written at once.
type flushing struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (f flushing) Write(text []byte) (int, error) {
	n, err := f.ResponseWriter.Write(text)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

// serveInspector serves the page until ctx ends.
func serveInspector(ctx context.Context, c *console, api http.Handler, listen string, open bool) error {
	if host, _, err := net.SplitHostPort(listen); err != nil || !loopback.Is(host) {
		return errors.New("--listen must be an address of this machine alone, such as 127.0.0.1:8000: from elsewhere, use ssh -L")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return refused(fmt.Errorf("--listen: %w", err))
	}
	d := newDoor(listener.Addr().String(), inspector.NewServer(api, []string{"retry", "discard", "pause"}, zap.NewNop()))
	server := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	page := "http://" + listener.Addr().String() + "/?token=" + d.token
	c.note("The page is at %s", page)
	if open {
		if err := openBrowser(page); err != nil {
			c.note("No browser can be opened: %v", err)
		}
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return refused(err)
	}
	return nil
}

// door lets one browser in: whoever has the token, once, and then a cookie.
type door struct {
	inside *inspector.Server
	user   string
	name   string // of the cookie: browsers send those of all ports of a machine
	cookie string

	mu    sync.Mutex
	token string // empty: it was used
}

func newDoor(address string, inside *inspector.Server) *door {
	d := &door{inside: inside, user: "caddy instagram inspect", cookie: rand.Text(), token: rand.Text()}
	if u, err := user.Current(); err == nil {
		d.user = u.Username + " (caddy instagram inspect)"
	}
	_, port, _ := net.SplitHostPort(address)
	d.name = "instagram_inspect_" + port
	return d
}

// ServeHTTP serves the page to who was let in. A page of another site that has its name
// resolve to this machine is not, as the browser says its name.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]") // of an address in brackets
	}
	cookie, _ := r.Cookie(d.name)
	switch {
	case !loopback.Is(host):
		http.Error(w, "this page is for this machine alone", http.StatusForbidden)
	case cookie != nil && isEqual(cookie.Value, d.cookie):
		d.inside.Serve(w, r, d.user)
	case r.Method == http.MethodGet && r.URL.Path == "/" && d.use(r.URL.Query().Get("token")):
		http.SetCookie(w, &http.Cookie{Name: d.name, Value: d.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		http.Error(w, "this page needs the URL that 'caddy instagram inspect' prints, which can be used once: run it again", http.StatusForbidden)
	}
}

// use uses the token up, and reports whether it is the right one.
func (d *door) use(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token == "" || !isEqual(token, d.token) {
		return false
	}
	d.token = ""
	return true
}

func isEqual(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// openBrowser opens a page in the browser of the user. Its URL is an argument, which other
// users can see: browsers in a sandbox cannot read a file that would lead them there.
func openBrowser(page string) error {
	args := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		args = []string{"open"}
	case "windows":
		args = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	return exec.Command(args[0], append(args[1:], page)...).Start()
}
