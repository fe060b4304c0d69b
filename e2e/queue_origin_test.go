package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// lostInTheQueue are the headers that an application does not get through the
// queue, and addedByTheQueue those that it gets besides. The documentation of the
// queue says so.
var (
	lostInTheQueue  = []string{"Accept", "Accept-Encoding", "User-Agent", "X-Hub-Signature", "X-Queued", "X-App", "Traceparent"}
	addedByTheQueue = []string{
		"Ce-Id", "Ce-Source", "Ce-Specversion", "Ce-Subject", "Ce-Time", "Ce-Type", "Idempotency-Key", "X-Instagram-Attempt",
		"X-Instagram-Consumer",
	}
)

// lostByPHP are variables of the connection that PHP is not told of through the
// queue, or that are of the moment.
var lostByPHP = []string{"SSL_PROTOCOL", "SSL_CIPHER", "REMOTE_PORT", "REQUEST_TIME", "REQUEST_TIME_FLOAT"}

// TestQueueKeepsWhatTheProxyInFrontSaid compares each header and variable that an
// application gets with and without the queue. One that forces https must not
// redirect every attempt, and one that looks at addresses must see the same, but
// nobody can pass for another by headers that a stranger sends.
func TestQueueKeepsWhatTheProxyInFrontSaid(t *testing.T) {
	t.Parallel()
	proxy := http.Header{
		"X-Forwarded-For":   {"198.51.100.7, 10.0.0.9"},
		"X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host":  {"public.example.com"},
	}
	more := proxy.Clone()
	more.Set("X-Forwarded-Port", "443")
	more.Set("Forwarded", "for=198.51.100.7;proto=https")
	more.Set("X-Real-Ip", "198.51.100.7")
	for _, c := range []struct {
		name, servers, option string
		tls                   bool
		header                http.Header
		want                  map[string]string // so that not both are wrong
	}{
		{name: "direct, by TLS", tls: true,
			want: map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1",
				"X-Seen": "127.0.0.1 127.0.0.1 https false", "HTTPS": "on", "REMOTE_ADDR": "127.0.0.1"}},
		{name: "direct, without TLS",
			want: map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1",
				"X-Seen": "127.0.0.1 127.0.0.1 http false", "HTTPS": "", "REMOTE_ADDR": "127.0.0.1"}},
		{name: "trusted proxy", servers: "trusted_proxies static 127.0.0.0/8", header: more,
			want: map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7, 10.0.0.9, 127.0.0.1",
				"X-Forwarded-Host": "public.example.com", "X-Forwarded-Port": "443",
				"X-Seen": "198.51.100.7 127.0.0.1 http true", "X-Office": "yes", "HTTPS": "", "REMOTE_ADDR": "127.0.0.1"}},
		{name: "trusted proxy, strictly", header: proxy,
			servers: "trusted_proxies static 127.0.0.0/8 10.0.0.0/8\ntrusted_proxies_strict",
			want:    map[string]string{"X-Forwarded-Proto": "https", "X-Seen": "198.51.100.7 127.0.0.1 http true", "X-Office": "yes"}},
		{name: "trusted proxy with TLS", servers: "trusted_proxies static 127.0.0.0/8", tls: true, header: proxy,
			want: map[string]string{"X-Forwarded-Proto": "https", "X-Seen": "198.51.100.7 127.0.0.1 https true", "HTTPS": "on"}},
		{name: "untrusted proxy", servers: "trusted_proxies static 10.0.0.0/8", header: proxy,
			want: map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1",
				"X-Seen": "127.0.0.1 127.0.0.1 http false", "X-Office": "", "HTTPS": "", "REMOTE_ADDR": "127.0.0.1"}},
		{name: "no proxy is trusted", header: proxy,
			want: map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1", "X-Office": ""}},
		{name: "reverse_proxy trusts", option: "trusted_proxies 127.0.0.0/8", header: proxy,
			want: map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7, 10.0.0.9, 127.0.0.1",
				"X-Seen": "127.0.0.1 127.0.0.1 http false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			compareOrigins(t, c.servers, c.option, c.tls, c.header, c.want)
		})
	}
}

// compareOrigins sends deliveries with these headers, by and past the queue, to an
// application behind reverse_proxy and, where there is one, to PHP.
func compareOrigins(t *testing.T, servers, option string, tls bool, header http.Header, want map[string]string) {
	app, caddy := harness.StartApp(t), harness.NewSecured(t)
	caddy.Options = strings.Replace(caddy.Options, "protocols h1 h2", "protocols h1 h2\n"+servers, 1)
	apps := map[string]string{"reverse_proxy": fmt.Sprintf(`request_header @office X-Office yes
	reverse_proxy %s {
		%s
		header_up X-Seen "{client_ip} {remote_host} {scheme} {http.vars.trusted_proxy}"
	}`, app.Addr, option)}
	if harness.HavePHP() {
		php := harness.StartPHP(t)
		apps["php_fastcgi"] = "request_header @office X-Office yes\n" + php.FastCGI("vars.php", "env RELAY "+app.Addr, option)
	}
	var content strings.Builder
	content.WriteString(harness.Webhook)
	for name, takes := range apps {
		takes = "@office client_ip 198.51.100.7\n" + takes
		fmt.Fprintf(&content, `
		@%[1]s_queued {
			header X-App %[1]s
			header X-Queued yes
		}
		handle @%[1]s_queued {
			instagram_queue {
				store sqlite %[2]q
				min_free_space 0B
				%[3]s
			}
		}
		@%[1]s header X-App %[1]s
		handle @%[1]s {
			%[3]s
		}`, name, caddy.Out(name+".db"), takes)
	}
	url, addr := caddy.URL+"?a=b", caddy.Addr
	if tls {
		caddy.Serve(t, "%s", &content)
	} else {
		url, addr = "http://"+caddy.Name+"/webhooks?a=b", caddy.HTTPAddr
		caddy.Start(t, "http://"+caddy.Site("%s", &content))
	}
	client := harness.NewClient(t, harness.HTTP1, url, addr, caddy.Roots, nil)
	n := 0
	for name := range apps {
		var got [2]map[string]string
		for i, queued := range []string{"no", "yes"} {
			req := harness.NewDelivery(t, harness.HTTP1, url, harness.Secret, harness.Messages(fmt.Sprintf("%s.%d", name, i)))
			maps.Copy(req.Header, header)
			req.Header["X-App"], req.Header["X-Queued"] = []string{name}, []string{queued}
			req.Header["Traceparent"] = []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
			if answer := client.Do(t, req); answer.Status != http.StatusOK {
				t.Fatalf("answered with %d", answer.Status)
			}
			n++
			got[i] = toldTo(t, name, &app.WaitAttempts(t, n)[n-1])
		}
		differ := func(key string) bool {
			direct, ok := got[0][key]
			queued, too := got[1][key]
			return direct != queued || ok != too
		}
		keys := maps.Clone(got[0])
		maps.Copy(keys, got[1])
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if differ(key) {
				t.Errorf("%s: %s is %q through the queue, %q without it", name, key, got[1][key], got[0][key])
			}
		}
		for key, want := range want {
			if name == "php_fastcgi" && strings.HasPrefix(key, "X-") {
				key = "HTTP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
			}
			of := name == "php_fastcgi" && key != "HTTP_X_SEEN" || name == "reverse_proxy" && strings.HasPrefix(key, "X-")
			if got := got[1][key]; of && got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
}

// toldTo returns what an application was told, without what the queue changes.
func toldTo(t *testing.T, name string, a *harness.Attempt) map[string]string {
	t.Helper()
	told := map[string]string{"Host": a.Host, "URI": a.URI}
	changed := append(slices.Clone(lostInTheQueue), addedByTheQueue...)
	changed = append(changed, "X-Hub-Signature-256", "Content-Length") // of another body
	if name == "reverse_proxy" {
		for name, values := range a.Header {
			told[name] = strings.Join(values, "; ")
		}
		for _, name := range changed {
			delete(told, name)
		}
		return told
	}
	var vars map[string]any
	if err := json.Unmarshal(a.Body, &vars); err != nil {
		t.Fatalf("%q: %v", a.Body, err)
	}
	for name, value := range vars {
		told[name] = fmt.Sprint(value)
	}
	for _, name := range changed {
		delete(told, "HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	delete(told, "CONTENT_LENGTH")
	for _, name := range lostByPHP {
		delete(told, name)
	}
	return told
}
