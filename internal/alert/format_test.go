package alert

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

var testNotice = &Notice{
	Alert: Alert{
		Kind: Refusing, Cause: "queue.db", Text: "The disk <is> full & broken.", Urgent: true,
		Data: map[string]any{"store": "queue.db"},
	},
	Repeated: 2, Host: "gw1", Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
}

// TestFormatsAreThoseOfTheServices holds bodies and headers against the shapes in the
// documentation of the services.
func TestFormatsAreThoseOfTheServices(t *testing.T) {
	t.Parallel()
	const title = "Instagram webhooks on gw1: deliveries are refused"
	for format, want := range map[Format]string{
		JSON: `{"kind":"refusing","cause":"queue.db","text":"The disk <is> full & broken.","urgent":true,"data":{"store":"queue.db"},` +
			`"repeated":2,"host":"gw1","time":"2026-11-30T12:00:00Z"}`,
		Slack: `{"text":"*` + title + `*\nThe disk &lt;is&gt; full &amp; broken."}`,
		Teams: `{"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[` +
			`{"text":"` + title + `","type":"TextBlock","weight":"Bolder","wrap":true},` +
			`{"text":"The disk <is> full & broken.","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.2"},` +
			`"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null}],"type":"message"}`,
		Ntfy: "The disk <is> full & broken.",
	} {
		target := &url.URL{Scheme: "https", Host: "example.com"}
		r, err := format.Request(t.Context(), target, testNotice)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		if string(body) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", format, body, want)
		}
		contentType, headers := "application/json", "  "
		if format == Ntfy {
			contentType, headers = "text/plain; charset=utf-8", title+" urgent rotating_light"
		}
		if got := r.Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s: the content type is %s", format, got)
		}
		if got := strings.Join([]string{r.Header.Get("Title"), r.Header.Get("Priority"), r.Header.Get("Tags")}, " "); got != headers {
			t.Errorf("%s: the headers are %q", format, got)
		}
	}
}

func TestDataThatIsNoJSONIsLeftOut(t *testing.T) {
	t.Parallel()
	n := *testNotice
	n.Data = map[string]any{"f": func() {}}
	if body, _ := JSON.body(&n); !strings.Contains(string(body), `"refusing"`) || strings.Contains(string(body), "data") {
		t.Errorf("got %s", body)
	}
}

// TestErrorsTellNothingOfTheURL has services that fail in all ways: the URLs of some are
// secrets.
func TestErrorsTellNothingOfTheURL(t *testing.T) {
	t.Parallel()
	redirected := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Query().Get("do") {
		case "ok":
			w.WriteHeader(http.StatusAccepted)
		case "limit":
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		case "redirect":
			http.Redirect(w, r, "/elsewhere?do=ok", http.StatusFound)
		case "unknown":
			w.WriteHeader(http.StatusNotFound)
		case "down":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "break":
			panic(http.ErrAbortHandler)
		case "hang":
			<-r.Context().Done()
		default:
			redirected = true
		}
	}))
	t.Cleanup(server.Close)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for do, want := range map[string]struct {
		text      string
		permanent bool
		after     time.Duration
	}{
		"ok":       {},
		"limit":    {text: "answered 429", after: 2 * time.Minute},
		"redirect": {text: "answered 302", permanent: true},
		"unknown":  {text: "answered 404", permanent: true},
		"down":     {text: "answered 503"},
		"break":    {text: "EOF"},
		"hang":     {text: "context deadline exceeded"},
		"closed":   {text: "connection refused"},
		"host":     {text: "no such host"},
	} {
		target, err := url.Parse(strings.Replace(server.URL, "://", "://user:p4ssword@", 1) + "/services/T000/s3cret?do=" + do)
		if err != nil {
			t.Fatal(err)
		}
		ctx, timeout := t.Context(), time.Minute
		switch do {
		case "hang":
			timeout = 50 * time.Millisecond
		case "closed":
			target.Host = "127.0.0.1:1"
		case "host":
			target.Host = "alerts.invalid"
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		err = JSON.Post(ctx, client, target, testNotice)
		cancel()
		if want.text == "" {
			if err != nil {
				t.Errorf("%s: %v", do, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: no error", do)
			continue
		}
		text := err.Error()
		if do != "host" && !strings.Contains(text, want.text) || strings.Contains(text, "cret") || strings.Contains(text, "p4ss") || strings.Contains(text, "services") {
			t.Errorf("%s: got %q, want %q", do, text, want.text)
		}
		failure := new(Failure)
		if f, ok := err.(*Failure); ok {
			failure = f
		}
		if failure.Permanent != want.permanent || failure.After != want.after {
			t.Errorf("%s: got %+v", do, failure)
		}
	}
	if redirected {
		t.Error("a redirect was followed")
	}
}

// TestDocsHaveKindsAndFormats looks for each in its table.
func TestDocsHaveKindsAndFormats(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/configuration/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		if !strings.Contains(string(docs), "| `"+string(kind)+"` |") {
			t.Errorf("docs/configuration/alerts.md does not have %s", kind)
		}
	}
	for _, format := range Formats {
		if !strings.Contains(string(docs), "| `"+format+"` |") {
			t.Errorf("docs/configuration/alerts.md does not have %s", format)
		}
	}
}
