package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/event"
)

// The tokens and secrets of the leak tests. One token has all that is written
// differently in queries, in JSON and in Go.
const (
	oddToken   = `odd "tökén"/with+all&of=it%3D<b>`
	plainToken = "plain-token-4f6bd1"
	fileToken  = "file-token-09c33e"
	envSecret  = "e0a1f64be19c4b7a8f3f2f0fd0c5a911"
	fileSecret = "c4d8a6f2097e4c53b1b6a2d5e7f80913"
)

// leakGateway is a gateway that gets its secrets as placeholders and writes
// access logs for two sites: one to a file, with error routes, and one to the
// default logger, without.
type leakGateway struct {
	*gateway
	ports [2]int
}

// startLeakGateway starts one with routes, in which WEBHOOK( stands for the
// begin of an instagram_webhook block with tokens and secrets.
func startLeakGateway(t *testing.T, options, routes string) *leakGateway {
	t.Helper()
	g := &leakGateway{
		gateway: newGateway(t, "LEAK_TOKEN="+oddToken, "LEAK_TOKEN_2="+plainToken, "LEAK_SECRET="+envSecret),
		ports:   [2]int{freePort(t), freePort(t)},
	}
	webhook := fmt.Sprintf(`instagram_webhook {
		verify_token {env.LEAK_TOKEN}
		verify_token {env.LEAK_TOKEN_2}
		verify_token {file.%s}
		app_secret one {env.LEAK_SECRET}
		app_secret two {file.%s}
`, g.write(t, "token", fileToken), g.write(t, "secret", fileSecret))
	routes = strings.ReplaceAll(routes, "WEBHOOK(", webhook)
	g.start(t, "auto_https off\n"+options, fmt.Sprintf(`
http://:%d {
	log {
		output file %q
	}
	%s
	handle_errors {
		header X-Error "{err.status_code} {err.status_text} {err.message}"
		respond "{err.status_code} {err.status_text} {err.message} {err.trace}"
	}
}
http://:%d {
	log
	%s
}`, g.ports[0], g.out("access.log"), routes, g.ports[1], routes))
	return g
}

// search collects what must not be found, and where it must not be.
type search struct {
	needles map[string]string // what it is, by its lower-case text
	answers strings.Builder   // all response heads and bodies
	sent    int
}

func newSearch() *search {
	s := &search{needles: make(map[string]string)}
	for _, token := range []string{oddToken, plainToken, fileToken} {
		quoted := fmt.Sprintf("%q", token)
		for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token), quoted[1 : len(quoted)-1]} {
			s.needles[strings.ToLower(form)] = "verify token"
		}
	}
	s.needles[envSecret] = "app secret"
	s.needles[fileSecret] = "app secret"
	return s
}

// send sends a request and remembers its signatures and all of the answer. An
// error is what some backends are there for.
func (s *search) send(t *testing.T, c *caller, req *http.Request) {
	t.Helper()
	for _, name := range []string{"X-Hub-Signature", "X-Hub-Signature-256"} {
		for _, value := range req.Header[name] {
			_, digits, _ := strings.Cut(value, "=")
			if len(digits) >= 40 {
				s.needles[strings.ToLower(digits[:40])] = "signature"
			}
		}
	}
	s.sent++
	a, err := c.do(req)
	if a == nil {
		fmt.Fprintln(&s.answers, err)
		return
	}
	fmt.Fprintln(&s.answers, a.status, a.header, string(a.body), err)
}

// sendVerifications sends right and wrong verifications, and tokens in all
// places of a query and with all methods.
func (s *search) sendVerifications(t *testing.T, c *caller, base string) {
	for _, token := range []string{oddToken, plainToken, fileToken} {
		s.send(t, c, verification(t, base, "subscribe", token, "1158201444"))
		s.send(t, c, verification(t, base, "subscribe", token+"x", "1158201444"))
		s.send(t, c, verification(t, base, "unsubscribe", token, "1158201444"))
		s.send(t, c, verification(t, base, token, "1158201444", "1158201444"))
		s.send(t, c, verification(t, base, "subscribe", token, "<b>"))
		escaped := url.QueryEscape(token)
		right := "hub.mode=subscribe&hub.challenge=1&hub.verify_token=" + escaped
		for _, query := range []string{
			right + "&hub.verify_token=" + escaped,
			right + "&hub.challenge=2",
			right + "&%zz",
			right + ";" + escaped,
			"hub.verify_token=" + escaped,
			"hub.verify_token[]=" + escaped,
			"HUB.VERIFY_TOKEN=" + escaped,
			"hub%2Everify_token=" + escaped,
			"hub.mode=subscribe&hub.challenge=" + escaped + "&hub.verify_token=1",
			"hub.verify_token%3D" + escaped,
			escaped,
			escaped + "=",
			"?" + escaped,
		} {
			s.send(t, c, withQuery(t, http.MethodGet, base, query))
		}
		for _, method := range []string{http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "PROPFIND"} {
			s.send(t, c, withQuery(t, method, base, right))
		}
		req := withQuery(t, http.MethodGet, base, "")
		req.Header.Set("Referer", base+"?"+right)
		s.send(t, c, req)
	}
}

// sendDeliveries sends authentic deliveries and forgeries that hold, in the
// wrong place or form, a signature that is right.
func (s *search) sendDeliveries(t *testing.T, c *caller, base string) {
	for i, key := range []string{envSecret, fileSecret, "another key"} {
		body := fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"%d","time":1790000000,"sent":%d}]}`, i, s.sent)
		right := hexHMAC256(key, body)
		for _, e := range event.Split(body) { // which a queue signs anew
			s.needles[hexHMAC256(key, e.Envelope())[:40]] = "signature"
		}
		post := func(values ...string) {
			req := delivery(t, http1, base, key, body)
			req.Header["X-Hub-Signature-256"] = values
			s.send(t, c, req)
		}
		for _, p := range protocols[:2] {
			s.send(t, c, delivery(t, p, base, key, body))
		}
		post("sha256=" + strings.ToUpper(right))
		post("sha256="+right, "sha256="+right)
		post("sha256=" + right + "," + right)
		post("sha256=" + right + "00")
		post("sha256=" + right[:62])
		post("SHA256=" + right)
		post("=" + right)
		req := delivery(t, http1, base, key, body)
		req.URL.RawQuery = "signature=sha256%3D" + right + "&hub.verify_token=" + plainToken
		s.send(t, c, req)
		req = delivery(t, http1, base, key, body)
		req.Method = http.MethodPut
		s.send(t, c, req)
	}
}

func withQuery(t *testing.T, method, base, query string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.RawQuery = query
	return req
}

// run sends everything to each path of both sites and stops the gateway. It
// returns all that Caddy told anyone, by where.
func (s *search) run(t *testing.T, g *leakGateway, paths ...string) map[string]string {
	t.Helper()
	s.sendAll(t, g, paths...)
	return s.end(t, g)
}

func (s *search) sendAll(t *testing.T, g *leakGateway, paths ...string) {
	t.Helper()
	for _, port := range g.ports {
		c := newCaller(nil, fmt.Sprintf("127.0.0.1:%d", port), nil)
		for _, path := range paths {
			s.sendVerifications(t, c, "http://hooks.example.com"+path)
			s.sendDeliveries(t, c, "http://hooks.example.com"+path)
		}
		c.close()
	}
}

// end stops the gateway and returns all that Caddy told anyone.
func (s *search) end(t *testing.T, g *leakGateway) map[string]string {
	t.Helper()
	config, metrics := g.adminGet(t, "/config/"), g.adminGet(t, "/metrics")
	g.stop() // for what it says at its end
	places := g.written(t)
	places["admin /config/"], places["admin /metrics"], places["responses"] = config, metrics, s.answers.String()
	return places
}

// findings returns a line for each needle and place.
func (s *search) findings(places map[string]string) []string {
	var found []string
	for place, text := range places {
		text = strings.ToLower(text)
		for needle, what := range s.needles {
			if at := strings.Index(text, needle); at >= 0 {
				found = append(found, fmt.Sprintf("a %s is in %s: …%s…", what, place, text[max(0, at-160):min(len(text), at+60)]))
			}
		}
	}
	return found
}

func (s *search) check(t *testing.T, places map[string]string) {
	t.Helper()
	found := s.findings(places)
	for _, finding := range found[:min(5, len(found))] {
		t.Error(finding)
	}
	if len(found) > 5 {
		t.Errorf("and %d more", len(found)-5)
	}
}
