package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Owner is whose an access token is.
type Owner struct {
	// Account is the id that stands in deliveries and that subscriptions need:
	// of the Instagram account, or with Facebook Login of the Page or user. It
	// is empty with Unified Login, whose tokens do not tell it.
	Account string

	// Scoped is the id that the app alone knows the Instagram account by, with
	// Instagram Login only. It may stand in signed requests.
	Scoped string

	// SystemUser is the id of the system user, with Unified Login only.
	SystemUser string

	// Name is the user name of the Instagram account, or the name of the Page
	// or user.
	Name string
}

// Me returns whose the client's token is.
func (c *Client) Me(ctx context.Context) (Owner, error) {
	var answer struct {
		UserID   string `json:"user_id"`
		Username string `json:"username"`
		ID       string `json:"id"`
		Name     string `json:"name"`
	}
	fields := "user_id,username"
	if c.Login.Host() == facebookHost {
		fields = "id,name"
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "me", params: url.Values{"fields": {fields}}}, &answer)
	if err != nil {
		return Owner{}, err
	}
	owner := Owner{Account: answer.UserID, Scoped: answer.ID, Name: answer.Username}
	switch c.Login {
	case FacebookLogin:
		owner = Owner{Account: answer.ID, Name: answer.Name}
	case UnifiedLogin:
		owner = Owner{SystemUser: answer.ID, Name: answer.Name}
	}
	if ValidateID(owner.Account+owner.SystemUser) != nil {
		return Owner{}, errors.New("GET me: the answer has no account id")
	}
	return owner, nil
}

// LinkedAccount returns the id of the Instagram account that a Page is linked to, which
// stands in the deliveries of Facebook Login, or "" if there is none.
func (c *Client) LinkedAccount(ctx context.Context, page string) (string, error) {
	var answer struct {
		Account struct {
			ID string `json:"id"`
		} `json:"instagram_business_account"`
	}
	r := request{method: http.MethodGet, id: page, params: url.Values{"fields": {"instagram_business_account"}}}
	if err := c.call(ctx, r, &answer); err != nil {
		return "", err
	}
	if answer.Account.ID != "" && ValidateID(answer.Account.ID) != nil {
		return "", errors.New("GET " + page + ": the answer has no account id")
	}
	return answer.Account.ID, nil
}

// Details is what graph.facebook.com tells about an access token.
type Details struct {
	// App is the id of the app that the token was made for.
	App string

	// Kind is what the token stands for: USER, PAGE, SYSTEM_USER, …
	Kind string

	// Valid is set if the token can be used.
	Valid bool

	// Expires is when the token ends; DataExpires when it no longer gives
	// access to the user's data. Both are zero if that never happens.
	Expires, DataExpires time.Time

	// Permissions are those that the user granted.
	Permissions []string
}

// Debug returns what is known about the client's token. It needs a login whose
// tokens can be looked into: graph.instagram.com has no such call.
func (c *Client) Debug(ctx context.Context) (Details, error) {
	if !c.Login.Debugs() {
		return Details{}, fmt.Errorf("tokens of %s cannot be looked into", c.Login.Name())
	}
	var answer struct {
		Data struct {
			App         string   `json:"app_id"`
			Kind        string   `json:"type"`
			Valid       bool     `json:"is_valid"`
			Expires     int64    `json:"expires_at"`
			DataExpires int64    `json:"data_access_expires_at"`
			Permissions []string `json:"scopes"`
		} `json:"data"`
	}
	// Meta takes the token to look into nowhere but in the query.
	params := url.Values{"input_token": {string(c.Token)}}
	if err := c.call(ctx, request{method: http.MethodGet, path: "debug_token", params: params}, &answer); err != nil {
		return Details{}, err
	}
	d := answer.Data
	return Details{d.App, d.Kind, d.Valid, unixTime(d.Expires), unixTime(d.DataExpires), d.Permissions}, nil
}

// lastSecond is the end of the year 9999. Later times cannot be written as JSON.
const lastSecond = 253402300799

// unixTime returns the time of a number of seconds since 1970, and the zero time
// for 0.
func unixTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(min(max(seconds, 1), lastSecond), 0)
}

// TokenLife is how long an Instagram user token lives after it was made or
// refreshed.
const TokenLife = 60 * 24 * time.Hour

// Refresh renews the client's token, which must be a long-lived one of Instagram
// Login, at least a day old and not expired. It returns the new token and when
// that ends. The old one goes on working until its own end.
func (c *Client) Refresh(ctx context.Context) (token Secret, expires time.Time, err error) {
	if !c.Login.Refreshes() {
		return "", time.Time{}, fmt.Errorf("tokens of %s cannot be refreshed: Meta has a call for those of %s only", c.Login.Name(), InstagramLogin.Name())
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	err = c.call(ctx, request{
		method:      http.MethodGet,
		path:        "refresh_access_token",
		unversioned: true,
		params:      url.Values{"grant_type": {"ig_refresh_token"}},
		renews:      true,
	}, &answer)
	if err != nil {
		return "", time.Time{}, err
	}
	if !validToken(answer.Token) || answer.Seconds <= 0 {
		return "", time.Time{}, errors.New("GET refresh_access_token: the answer has no token that could be used")
	}
	return Secret(answer.Token), time.Now().Add(time.Duration(min(answer.Seconds, 1<<31)) * time.Second), nil
}

// validToken reports whether a text can be a token: visible ASCII, not empty and
// not endless.
func validToken(token string) bool {
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return token != "" && len(token) <= 4096
}
