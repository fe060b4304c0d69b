package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Subscription is what an app gets of an account.
type Subscription struct {
	// App is the id of the app.
	App string `json:"app_id"`

	// Fields are the fields whose events it gets.
	Fields []string `json:"fields"`
}

// UnmarshalJSON reads what each login answers: graph.facebook.com calls the
// app's id just id.
func (s *Subscription) UnmarshalJSON(data []byte) error {
	var answer struct {
		App    string   `json:"app_id"`
		ID     string   `json:"id"`
		Fields []string `json:"subscribed_fields"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return err
	}
	s.App, s.Fields = cmp.Or(answer.App, answer.ID), append([]string{}, answer.Fields...)
	return nil
}

// maxPages bounds how far a list is read.
const maxPages = 20

// list reads all parts of a list.
func list[T any](ctx context.Context, c *Client, id, path string) ([]T, error) {
	var all []T
	r := request{method: http.MethodGet, id: id, path: path, params: url.Values{}}
	for range maxPages {
		var part struct {
			Data   []T `json:"data"`
			Paging struct {
				Cursors struct {
					After string `json:"after"`
				} `json:"cursors"`
				Next string `json:"next"` // holds the access token
			} `json:"paging"`
		}
		if err := c.call(ctx, r, &part); err != nil {
			return nil, err
		}
		all = append(all, part.Data...)
		switch {
		case part.Paging.Next == "":
			return all, nil
		case part.Paging.Cursors.After == "":
			return nil, fmt.Errorf("%s: the list goes on, but the answer does not say where", r)
		}
		r.params.Set("after", part.Paging.Cursors.After)
	}
	return nil, fmt.Errorf("%s: the list has more than %d pages", r, maxPages)
}

// Subscriptions returns the apps that are subscribed to an account, as far as
// the token may see them. The account is an Instagram account, or with Facebook
// Login a Page.
func (c *Client) Subscriptions(ctx context.Context, account string) ([]Subscription, error) {
	return list[Subscription](ctx, c, account, "/subscribed_apps")
}

// Subscribe subscribes the token's app to an account. The fields replace those
// that it was subscribed to. Meta takes all of them or none, and refuses those
// that the app itself is not subscribed to.
func (c *Client) Subscribe(ctx context.Context, account string, fields []string) error {
	if len(fields) == 0 {
		return errors.New("a subscription needs at least one field")
	}
	return c.change(ctx, request{
		method: http.MethodPost,
		id:     account,
		path:   "/subscribed_apps",
		params: url.Values{"subscribed_fields": {strings.Join(fields, ",")}},
	})
}

// Unsubscribe ends the subscription of the token's app to an account.
func (c *Client) Unsubscribe(ctx context.Context, account string) error {
	return c.change(ctx, request{method: http.MethodDelete, id: account, path: "/subscribed_apps"})
}

// Callback is where Meta delivers what an app is subscribed to.
type Callback struct {
	// Object is what the events are about: instagram, page, …
	Object string `json:"object"`

	// URL is where deliveries go.
	URL string `json:"callback_url"`

	// Fields are the fields that the app is subscribed to.
	Fields []string `json:"fields"`

	// Active is set if Meta delivers.
	Active bool `json:"active"`
}

// UnmarshalJSON reads what the Graph API answers, where a field has a name and
// a version.
func (b *Callback) UnmarshalJSON(data []byte) error {
	var answer struct {
		Object string `json:"object"`
		URL    string `json:"callback_url"`
		Active bool   `json:"active"`
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return err
	}
	*b = Callback{Object: answer.Object, URL: answer.URL, Active: answer.Active, Fields: []string{}}
	for _, f := range answer.Fields {
		b.Fields = append(b.Fields, f.Name)
	}
	return nil
}

// Callbacks returns the callbacks of an app, one for an object at most. It needs
// an AppToken and FacebookLogin, as do all calls about callbacks.
func (c *Client) Callbacks(ctx context.Context, app string) ([]Callback, error) {
	return list[Callback](ctx, c, app, "/subscriptions")
}

// SetCallback sets the callback of an app for one object. Meta calls its URL
// with the verify token before it answers. With values, deliveries tell what
// changed and not just that it did.
func (c *Client) SetCallback(ctx context.Context, app string, b Callback, verifyToken Secret, values bool) error {
	return c.change(ctx, request{
		method: http.MethodPost,
		id:     app,
		path:   "/subscriptions",
		params: url.Values{
			"object":         {b.Object},
			"callback_url":   {b.URL},
			"fields":         {strings.Join(b.Fields, ",")},
			"include_values": {strconv.FormatBool(values)},
			"verify_token":   {string(verifyToken)},
		},
		secret: verifyToken,
	})
}

// RemoveCallback removes the fields from an app's callback for an object, or the
// whole callback if there are no fields.
func (c *Client) RemoveCallback(ctx context.Context, app, object string, fields []string) error {
	params := url.Values{"object": {object}}
	if len(fields) > 0 {
		params.Set("fields", strings.Join(fields, ","))
	}
	return c.change(ctx, request{method: http.MethodDelete, id: app, path: "/subscriptions", params: params})
}
