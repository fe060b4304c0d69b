package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// Format is how a notice is written for a service.
type Format string

// The formats.
const (
	JSON  Format = "json"  // a Notice
	Slack Format = "slack" // an incoming webhook: Slack's "Sending messages using incoming webhooks"
	Teams Format = "teams" // a workflow that posts an Adaptive Card: Microsoft's "Create incoming webhooks with Workflows"
	Ntfy  Format = "ntfy"  // a topic: ntfy's "Publishing"
)

// Formats lists them.
var Formats = []string{string(JSON), string(Slack), string(Teams), string(Ntfy)}

// slackText escapes what Slack would take for a link or a mention.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// body returns the body of a notice and its content type.
func (f Format) body(n *Notice) (body []byte, contentType string) {
	var message any = n
	switch f {
	case Ntfy:
		return []byte(n.Text), "text/plain; charset=utf-8"
	case Slack:
		message = map[string]string{"text": "*" + slackText.Replace(n.Title()) + "*\n" + slackText.Replace(n.Text)}
	case Teams:
		type object = map[string]any
		message = object{"type": "message", "attachments": []any{object{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"contentUrl":  nil,
			"content": object{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
				"type":    "AdaptiveCard",
				"version": "1.2",
				"body": []any{
					object{"type": "TextBlock", "text": n.Title(), "weight": "Bolder", "wrap": true},
					object{"type": "TextBlock", "text": n.Text, "wrap": true},
				},
			},
		}}}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(message); err != nil { // data that is no JSON
		n := *n
		n.Data = nil
		return f.body(&n)
	}
	return bytes.TrimSpace(text.Bytes()), "application/json"
}

// headers sets what the service wants to know besides the body.
func (f Format) headers(n *Notice, header http.Header) {
	if f != Ntfy {
		return
	}
	priority, tag := "high", "warning"
	switch {
	case n.Kind == Recovered:
		priority, tag = "default", "white_check_mark"
	case n.Urgent:
		priority, tag = "urgent", "rotating_light"
	}
	header.Set("Title", mime.QEncoding.Encode("utf-8", n.Title()))
	header.Set("Priority", priority)
	header.Set("Tags", tag)
}

// maxError bounds the text of an error, in bytes.
const maxError = 200

// Request returns the request that tells a URL of a notice.
func (f Format) Request(ctx context.Context, target *url.URL, n *Notice) (*http.Request, error) {
	body, contentType := f.body(n)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &Failure{Err: errors.New("the URL is not valid"), Permanent: true}
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "caddy-instagram")
	f.headers(n, r.Header)
	return r, nil
}

// Post sends a notice to a URL, of which the errors do not tell more than the host.
func (f Format) Post(ctx context.Context, client *http.Client, target *url.URL, n *Notice) error {
	r, err := f.Request(ctx, target, n)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		password, _ := target.User.Password()
		return sanitize.Error(err, maxError, target.String(), target.RequestURI(), target.Path, password)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	return StatusError(response.StatusCode, response.Header)
}

// StatusError returns an error unless a status is one of success.
func StatusError(status int, header http.Header) error {
	if status/100 == 2 {
		return nil
	}
	f := &Failure{Err: fmt.Errorf("answered %d", status)}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		f.Permanent = status/100 != 5
	}
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 && seconds < 1e6 {
		f.After = time.Duration(seconds) * time.Second
	}
	return f
}
