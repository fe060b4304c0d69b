package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
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

// leakCaddy is a Caddy that gets its secrets as placeholders and writes access
// logs for two sites: one to a file, with error routes, and one to the default
// logger, without.
type leakCaddy struct {
	*harness.Caddy
	second string // address of the second site
}

// startLeakCaddy starts one with routes, which import the snippet "webhook":
// instagram_webhook with tokens and secrets, and the options in the block.
func startLeakCaddy(t *testing.T, options, routes string) *leakCaddy {
	t.Helper()
	caddy := &leakCaddy{
		Caddy:  harness.NewCaddy(t, "LEAK_TOKEN="+oddToken, "LEAK_TOKEN_2="+plainToken, "LEAK_SECRET="+envSecret),
		second: harness.FreeAddr(t),
	}
	caddy.Options += "\n" + options
	caddy.Start(t, fmt.Sprintf(`
(webhook) {
	instagram_webhook {
		verify_token {env.LEAK_TOKEN}
		verify_token {env.LEAK_TOKEN_2}
		verify_token {file.%s}
		app_secret one {env.LEAK_SECRET}
		app_secret two {file.%s}
		{block}
	}
}
%s {
	log {
		output file %q
	}
	%s
	handle_errors {
		header X-Error "{err.status_code} {err.status_text} {err.message}"
		respond "{err.status_code} {err.status_text} {err.message} {err.trace}"
	}
}
http://%s {
	log
	%[5]s
}`, caddy.Write(t, "token", fileToken), caddy.Write(t, "secret", fileSecret),
		caddy.Name, caddy.Out("access.log"), routes, caddy.second))
	return caddy
}

// leakSearch collects what must not be found, and where it must not be.
type leakSearch struct {
	needles map[string]string // what it is, by its lower-case text
	answers strings.Builder   // all response heads and bodies
	sent    int
}

func newLeakSearch() *leakSearch {
	s := &leakSearch{needles: make(map[string]string)}
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
func (s *leakSearch) send(t *testing.T, client *harness.Client, req *http.Request) {
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
	answer, err := client.Try(req)
	if answer == nil {
		fmt.Fprintln(&s.answers, err)
		return
	}
	fmt.Fprintln(&s.answers, answer.Status, answer.Header, answer.Body, err)
}

// sendVerifications sends right and wrong verifications, and tokens in all
// places of a query and with all methods.
func (s *leakSearch) sendVerifications(t *testing.T, client *harness.Client, base string) {
	for _, token := range []string{oddToken, plainToken, fileToken} {
		s.send(t, client, harness.NewVerification(t, base, "subscribe", token, "1158201444"))
		s.send(t, client, harness.NewVerification(t, base, "subscribe", token+"x", "1158201444"))
		s.send(t, client, harness.NewVerification(t, base, "unsubscribe", token, "1158201444"))
		s.send(t, client, harness.NewVerification(t, base, token, "1158201444", "1158201444"))
		s.send(t, client, harness.NewVerification(t, base, "subscribe", token, "<b>"))
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
			s.send(t, client, withQuery(t, http.MethodGet, base, query))
		}
		for _, method := range []string{"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			s.send(t, client, withQuery(t, method, base, right))
		}
		req := withQuery(t, http.MethodGet, base, "")
		req.Header.Set("Referer", base+"?"+right)
		s.send(t, client, req)
	}
}

// sendDeliveries sends authentic deliveries and forgeries that hold, in the
// wrong place or form, a signature that is right.
func (s *leakSearch) sendDeliveries(t *testing.T, client *harness.Client, base string) {
	for i, key := range []string{envSecret, fileSecret, "another key"} {
		body := fmt.Appendf(nil, `{"object":"instagram","entry":[{"id":"%d","time":1790000000,"sent":%d}]}`, i, s.sent)
		right := harness.HMAC(key, body)
		for _, e := range event.Split(body) { // which a queue signs anew
			s.needles[harness.HMAC(key, e.Envelope())[:40]] = "signature"
		}
		post := func(values ...string) {
			req := harness.NewDelivery(t, harness.HTTP1, base, key, body)
			req.Header["X-Hub-Signature-256"] = values
			s.send(t, client, req)
		}
		for _, p := range harness.Protocols[:2] {
			s.send(t, client, harness.NewDelivery(t, p, base, key, body))
		}
		post("sha256=" + strings.ToUpper(right))
		post("sha256="+right, "sha256="+right)
		post("sha256=" + right + "," + right)
		post("sha256=" + right + "00")
		post("sha256=" + right[:62])
		post("SHA256=" + right)
		post("=" + right)
		req := harness.NewDelivery(t, harness.HTTP1, base, key, body)
		req.URL.RawQuery = "signature=sha256%3D" + right + "&hub.verify_token=" + plainToken
		s.send(t, client, req)
		req = harness.NewDelivery(t, harness.HTTP1, base, key, body)
		req.Method = http.MethodPut
		s.send(t, client, req)
	}
}

func withQuery(t *testing.T, method, base, query string) *http.Request {
	t.Helper()
	req := harness.NewRequest(t, method, base, nil)
	req.URL.RawQuery = query
	return req
}

// run sends everything to each path of both sites and stops Caddy. It returns all
// that Caddy told anyone, by where.
func (s *leakSearch) run(t *testing.T, caddy *leakCaddy, paths ...string) map[string]string {
	t.Helper()
	s.sendAll(t, caddy, paths...)
	return s.end(t, caddy)
}

func (s *leakSearch) sendAll(t *testing.T, caddy *leakCaddy, paths ...string) {
	t.Helper()
	for _, addr := range []string{caddy.Addr, caddy.second} {
		client := harness.NewClient(t, harness.HTTP1, "http://"+addr, addr, nil, nil)
		for _, path := range paths {
			s.sendVerifications(t, client, "http://"+addr+path)
			s.sendDeliveries(t, client, "http://"+addr+path)
		}
		client.Close()
	}
}

// end stops Caddy and returns all that it told anyone.
func (s *leakSearch) end(t *testing.T, caddy *leakCaddy) map[string]string {
	t.Helper()
	told := make(map[string]string)
	for _, path := range []string{"/config/", "/metrics", "/instagram/overview", "/instagram/refusals"} {
		told["admin "+path] = caddy.AdminGet(t, path)
	}
	caddy.Stop() // for what it says at its end
	places := caddy.Written(t)
	maps.Copy(places, told)
	places["responses"] = s.answers.String()
	return places
}

// findings returns a line for each needle and place.
func (s *leakSearch) findings(places map[string]string) []string {
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

func (s *leakSearch) check(t *testing.T, places map[string]string) {
	t.Helper()
	found := s.findings(places)
	for _, finding := range found[:min(5, len(found))] {
		t.Error(finding)
	}
	if len(found) > 5 {
		t.Errorf("and %d more", len(found)-5)
	}
}

// checkLogged fails the test unless all of these texts are in a place: else the
// search had nothing to find.
func checkLogged(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q was logged", want)
		}
	}
}
