// Package graph is a small client of Meta's Graph API. It knows the calls that
// webhooks need: what accounts and apps are subscribed to, where deliveries go,
// whose an access token is and how long it lives.
//
// A call that fails for a passing reason is tried again. No error holds a token or a
// secret.
package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/sanitize"
)

// DefaultVersion is the version of the Graph API that a Client asks for. It is
// the one that was tested, not the newest.
const DefaultVersion = "v26.0"

// maxResponse is the most that is read of an answer, in bytes. Real ones are a
// few hundred.
const maxResponse = 1 << 20

// Client calls the Graph API. Its fields must not change once it is in use; it
// is then safe for concurrent use.
type Client struct {
	// Login chooses the host. Default: InstagramLogin.
	Login Login

	// BaseURL stands in place of https://graph.instagram.com or
	// https://graph.facebook.com, for tests and proxies.
	BaseURL string

	// Version is the version of the API. Default: DefaultVersion.
	Version string

	// Token is what the calls are made with: the token of an account, or an
	// AppToken.
	Token Secret

	// AppSecret, if there is one, proves calls with Facebook Login and Unified
	// Login (appsecret_proof). It must be the secret of the app that the token
	// belongs to. It is not used with Instagram Login or with an AppToken.
	AppSecret Secret

	// HTTP makes the requests. It follows no redirects. Default: a client that
	// waits 30 seconds for an answer.
	HTTP *http.Client

	// MaxWait is the most that one call waits before new attempts, in all. A
	// negative value means that nothing is tried again. Default: one minute.
	MaxWait time.Duration

	// OnWait, if not nil, is called before each such wait.
	OnWait func(err error, wait time.Duration)

	// OnUsage, if not nil, is called with what each answer says about Meta's limits.
	OnUsage func(Usage)
}

// ErrUncertain is part of the error of a call that may have changed something
// although it failed: the connection broke before the answer, for example.
var ErrUncertain = errors.New("it may have taken effect all the same")

var versionPattern = regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,2}$`)

// request is one call of the API.
type request struct {
	method      string
	id          string // of an account or an app, if the path begins with a slash
	path        string // after the version and the id, such as me
	unversioned bool
	params      url.Values
	secret      Secret // in params, if there is one
	renews      bool   // the answer holds a token, which may be like the one in use
}

// String returns the request without parameters.
func (r request) String() string { return r.method + " " + r.id + r.path }

// Validate returns an error if no call could be made with the client.
func (c *Client) Validate() error {
	if !c.Login.known() {
		return fmt.Errorf("the login %q is none of %s", c.Login, LoginList())
	}
	if !versionPattern.MatchString(c.version()) {
		return fmt.Errorf("the API version %q does not look like %s", c.Version, DefaultVersion)
	}
	base, err := url.Parse(c.base())
	switch {
	case err != nil:
		return errors.New("the URL of the Graph API cannot be read") // err repeats it
	case base.Scheme != "https" && base.Scheme != "http", base.Host == "":
		return errors.New("the URL of the Graph API must begin with https://")
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return errors.New("the URL of the Graph API must have no user, query or fragment")
	case base.Scheme == "http" && !loopback(base.Hostname()):
		return errors.New("tokens are not sent unencrypted: the URL of the Graph API must begin with https://, or be on this machine")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Client) version() string { return cmp.Or(c.Version, DefaultVersion) }

func (c *Client) base() string {
	return cmp.Or(strings.TrimSuffix(c.BaseURL, "/"), "https://"+c.Login.Host())
}

func (c *Client) http() *http.Client {
	client := http.Client{Timeout: 30 * time.Second}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	// Meta redirects nothing, and a token must not follow where others point.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// try makes a request once. The error holds no secret.
func (c *Client) try(ctx context.Context, r request, result any) error {
	address := c.base() + "/"
	if !r.unversioned {
		address += c.version() + "/"
	}
	address += r.id + r.path
	name := r.method + " " + address // without parameters

	params := url.Values{}
	maps.Copy(params, r.params)
	secrets := []string{string(c.Token), string(c.AppSecret), string(r.secret)}
	if _, key, isApp := strings.Cut(string(c.Token), "|"); isApp {
		secrets = append(secrets, key)
	} else if c.Login.Proves() && c.AppSecret != "" {
		p := proof(c.Token, c.AppSecret)
		params.Set("appsecret_proof", p)
		secrets = append(secrets, p)
	}
	for _, secret := range slices.Clone(secrets) {
		secrets = append(secrets, url.QueryEscape(secret)) // as in a URL that is repeated
	}

	header := http.Header{
		"Authorization": {"Bearer " + string(c.Token)},
		"Accept":        {"application/json"},
		"User-Agent":    {"caddy-instagram (+https://github.com/caddy-instagram/webhooks)"},
	}
	var body io.Reader
	if r.method == http.MethodPost {
		body = strings.NewReader(params.Encode())
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if len(params) > 0 {
		address += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return fmt.Errorf("%s: the request cannot be made", name) // err has the parameters
	}
	req.Header = header

	resp, err := c.http().Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL and its parameters
		}
		// It may repeat what came in place of an answer.
		return fmt.Errorf("%s: %w", name, sanitize.Error(err, maxText, secrets...))
	}
	defer resp.Body.Close()
	if c.OnUsage != nil {
		c.OnUsage(readUsage(resp.Header))
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return fmt.Errorf("%s: reading the answer: %w", name, sanitize.Error(err, maxText, secrets...))
	}
	if err := decode(resp, data, result, func(data []byte) []byte {
		if r.renews {
			return data
		}
		return sanitizeJSON(data, secrets)
	}); err != nil {
		err.clean(secrets)
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// decode puts a good answer into result, after clean, and makes anything else an
// error.
func decode(resp *http.Response, data []byte, result any, clean func([]byte) []byte) *Error {
	usage := readUsage(resp.Header)
	failed := &Error{Status: resp.StatusCode, RetryAfter: usage.Regain, usage: max(usage.App, usage.Business)}
	if len(data) > maxResponse {
		failed.Message = fmt.Sprintf("the answer is longer than %d bytes", maxResponse)
		return failed
	}
	var answer struct {
		Error *Error `json:"error"`
	}
	err := json.Unmarshal(data, &answer)
	switch {
	case err == nil && answer.Error != nil:
		answer.Error.Status, answer.Error.RetryAfter, answer.Error.usage = failed.Status, failed.RetryAfter, failed.usage
		return answer.Error
	case err == nil && resp.StatusCode == http.StatusOK:
		if err = json.Unmarshal(clean(data), result); err == nil {
			return nil
		}
	}
	failed.notMeta = true
	contentType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if contentType == "" {
		contentType = "no content type"
	}
	failed.Message = fmt.Sprintf("the answer (status %d, %s) is not one of the Graph API", resp.StatusCode, contentType)
	return failed
}

// change makes a call that changes something.
func (c *Client) change(ctx context.Context, r request) error {
	var done struct {
		Success bool `json:"success"`
	}
	if err := c.call(ctx, r, &done); err != nil {
		return err
	}
	if !done.Success {
		return fmt.Errorf("%s: the answer does not say that it succeeded (%w)", r, ErrUncertain)
	}
	return nil
}

var idPattern = regexp.MustCompile(`^[0-9]{1,20}$`)

// ValidateID returns an error if id is not the number of an account or an app.
func ValidateID(id string) error {
	if !idPattern.MatchString(id) {
		return errors.New("an id must be 1 to 20 digits") // it may be a secret in the wrong place
	}
	return nil
}
