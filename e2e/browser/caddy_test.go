package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

const (
	user     = "alice"
	password = "a password of the tests"
	hash     = "$2a$04$uVz1CPZ.xqUyaYsx5kTQU.27Z7rMQN8o1M6XyIFkTM9XVM31ztejO" // of the password, quickly checked
)

// startCaddy starts a Caddy with a queue whose only consumer is an application, and the page
// behind basic_auth.
func startCaddy(t *testing.T, app *harness.App, options string) *harness.Caddy {
	t.Helper()
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, "%s", siteOf(caddy, app, options))
	return caddy
}

// siteOf is the content of the site.
func siteOf(caddy *harness.Caddy, app *harness.App, options string) string {
	return fmt.Sprintf(`
	handle /webhooks {
		%s
		instagram_queue {
			store sqlite %q
			%s
			dead 422
			to app {
				reverse_proxy %s
			}
		}
	}
	handle_path /inspector/* {
		basic_auth {
			%s %s
		}
		instagram_inspector {
			%s
		}
	}`, harness.Webhook, caddy.Queue, harness.QuickRetry, app.Addr, user, hash, options)
}

const all = "allow retry discard pause"

// pageOf is the address of the page for the user.
func pageOf(c *harness.Caddy) string {
	u := url.URL{Scheme: "http", User: url.UserPassword(user, password), Host: c.Addr, Path: "/inspector/"}
	return u.String()
}

// TestNobody asks without a user.
func TestNobody(t *testing.T) {
	t.Parallel()
	caddy := harness.NewCaddy(t)
	caddy.Serve(t, "handle_path /inspector/* {\ninstagram_inspector {\n%s\n}\n}", all)
	for _, path := range []string{"", "app.js", "api/overview", "api/live"} {
		answer, err := http.Get("http://" + caddy.Addr + "/inspector/" + path)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%q is answered with %s", path, answer.Status)
		}
	}
}

// TestOtherSite has another site pause a consumer in the name of the user.
func TestOtherSite(t *testing.T) {
	t.Parallel()
	caddy := startCaddy(t, harness.StartApp(t), all)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
	}))
	t.Cleanup(other.Close)
	b := open(t, pageOf(caddy), "") // the browser knows the password now
	b.waitText(".consumer", "app")
	b.elsewhere = true
	b.do(chromedp.Navigate(other.URL))
	target := "http://" + caddy.Addr + "/inspector/api/pause?consumer=app"
	b.run(fmt.Sprintf("fetch(%q, {method: 'POST', mode: 'no-cors', credentials: 'include'}).catch(() => 0)", target))
	b.do(chromedp.Navigate(pageOf(caddy)))
	b.waitText(".consumer", "Pause")
	b.click("Pause") // as it would look if the other site had succeeded
	b.waitText(".consumer", "Resume")
}

// TestRetryDeadLetters retries the dead letters of a real queue by keyboard.
func TestRetryDeadLetters(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t, harness.Rule{Status: 422})
	caddy := startCaddy(t, app, all)
	for n := range 3 {
		caddy.Deliver(t, harness.MessageToEach(2, n), 200)
	}
	caddy.WaitMetric(t, caddy.Gauge("dead_events", "app"), 6)
	b := open(t, pageOf(caddy), "")
	b.waitText(".figures", "6")
	for range 30 {
		if b.press(kb.Tab); b.focus() == "Dead letters" {
			break
		}
	}
	b.press(kb.Enter)
	b.waitText("tbody", "422")
	b.waitText("tbody", "6")
	app.Behave()
	b.press("j", "r")
	b.waitText("dialog", "Retry 6 events?")
	b.press(kb.Enter)
	b.waitText("#toasts", "6 events will be delivered again.")
	app.WaitDelivered(t, 6)
	caddy.WaitQueueEmpty(t)
	b.visit("dead")
	b.waitText("main", "No dead letters")
}

// TestPrivacy looks at an event. What people wrote is revealed only on demand, and the log
// says to whom.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	const text, name, link = `<img src=x onerror=\"document.title='pwned'\"></script> \u05e9\u05dc\u05d5\u05dd`, "<b>lena.bakes</b>", `https:\/\/lookaside.fbsbx.com\/?signature=Ab`
	app := harness.StartApp(t, harness.Rule{Status: 422})
	caddy := startCaddy(t, app, "")
	caddy.Deliver(t, harness.Messaging(fmt.Sprintf(`{"sender":{"id":"12345678901234567890"},"recipient":{"id":"17841400000000001"},"timestamp":1790000000000,`+
		`"message":{"mid":"m","text":"%s","attachments":[{"type":"image","payload":{"url":"%s"}}]}}`, text, link)), 200)
	caddy.Deliver(t, harness.Change("comments", fmt.Sprintf(`{"id":"1","from":{"id":"2","username":"%s"},"text":"%s"}`, name, text)), 200)
	b := open(t, pageOf(caddy), "#events")
	b.wait("document.querySelectorAll('tbody tr').length === 2")
	private := func() bool {
		shown := eval[string](b, "document.documentElement.textContent")
		return strings.Contains(shown, "pwned") || strings.Contains(shown, name) || strings.Contains(shown, "lookaside") || strings.Contains(shown, "שלום")
	}
	for _, id := range []string{"2", "1"} {
		b.visit("event/" + id)
		b.waitText("pre", "•••")
		if private() {
			t.Errorf("event %s is revealed unasked:\n%s", id, b.text("main"))
		}
		b.press("r")
		b.waitText("#toasts", "You may only look")
	}
	b.waitText("pre", "12345678901234567890")
	if strings.Contains(caddy.Output(), "revealed") {
		t.Error("the log says that something was revealed")
	}
	b.click("Reveal")
	b.waitText("pre", "pwned")
	b.waitText("pre", "שלום")
	if title := eval[string](b, "document.title"); title == "pwned" {
		t.Error("a text was run")
	}
	caddy.WaitOutput(t, `revealed[^\n]*`+user)
}

// TestCheck has a Caddy examine itself.
func TestCheck(t *testing.T) {
	t.Parallel()
	caddy := startCaddy(t, harness.StartApp(t), "")
	b := open(t, pageOf(caddy), "#check")
	b.click("Check now")
	b.waitText("[role=status]", "0 faults")
	b.waitText("tbody", "The right verify token is answered with the challenge")
	b.waitText("tbody", "no deliveries are to be sent")
	if text := b.text("main"); strings.Contains(text, harness.Token) || strings.Contains(text, harness.Secret) {
		t.Errorf("a secret is shown:\n%s", text)
	}
}

// TestReload watches deliveries while Caddy loads another config.
func TestReload(t *testing.T) {
	t.Parallel()
	app := harness.StartApp(t)
	caddy := startCaddy(t, app, all)
	b := open(t, pageOf(caddy), "#live")
	b.waitText(".connection", "Connected")
	caddy.Deliver(t, harness.Messages("c.0"), 200)
	b.wait("document.querySelectorAll('tbody tr').length === 2") // a delivery and an attempt
	caddy.Reload(t, caddy.Site("%s", siteOf(caddy, app, all)))
	caddy.Deliver(t, harness.Messages("c.1"), 200)
	b.wait("document.querySelectorAll('tbody tr').length === 4")
	b.waitText(".connection", "Connected")
}

// TestInspect opens what the command prints, and watches a delivery.
func TestInspect(t *testing.T) {
	t.Parallel()
	caddy := startCaddy(t, harness.StartApp(t), "")
	printed := caddy.StartCommand(t, "instagram", "inspect", "--address", caddy.Admin).WaitOutput(t, `http://127\.0\.0\.1:\d+/\?token=\w+`)[0]
	b := open(t, printed, "")
	b.waitText(".consumer", "Pause")
	b.visit("live")
	b.waitText(".connection", "Connected")
	caddy.Deliver(t, harness.Messages("c.0"), 200)
	b.wait("document.querySelectorAll('tbody tr').length === 2")
	b.press("j")
	if strings.Contains(b.text("tbody tr"), "delivery") { // the attempt may be told before it
		b.press("j")
	}
	b.press(kb.Enter)
	b.waitText("pre", "17841400000000001")
}
