package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

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
