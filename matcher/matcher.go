// Package matcher matches requests by the events of an authentic delivery.
package matcher

import (
	"net/http"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/option"
)

func init() {
	caddy.RegisterModule(Match{})
}

// Match matches an authentic delivery with at least one event that fits all
// that is asked for. It must come after `instagram_webhook`: a request that was
// not authenticated never matches. As directives like `handle` are tried after
// `instagram_webhook`, the matcher can be used in them.
type Match struct {
	// Field is the field of the event, such as `comments`: one of these. Of a name
	// that is not known Caddy warns at load.
	Field []string `json:"field,omitempty"`

	// Account is the id of the account that the event belongs to: one of these.
	Account []string `json:"account,omitempty"`

	// Object is the kind of object that the account is, such as `instagram`:
	// one of these.
	Object []string `json:"object,omitempty"`

	// Test tells events of the App Dashboard's Test button from others.
	Test *bool `json:"test,omitempty"`

	// Echo tells events that the account caused itself, such as its own
	// messages, from others.
	Echo *bool `json:"echo,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Match) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.instagram",
		New: func() caddy.Module { return new(Match) },
	}
}

// UnmarshalCaddyfile parses the matcher. Syntax:
//
//	instagram {
//	    field   <names...>
//	    account <ids...>
//	    object  <kinds...>
//	    test    [true|false]
//	    echo    [true|false]
//	}
//
// An option can be given several times; all of its values are alternatives.
// Without a block, every authentic delivery matches.
func (m *Match) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() { // each time that it stands in a set
		if d.NextArg() {
			return d.ArgErr()
		}
		if err := m.options().ParseBlock(d); err != nil {
			return err
		}
	}
	return nil
}

// options lists the options, for a Caddyfile and for an expression.
func (m *Match) options() *option.Table {
	t := option.NewTable("the matcher instagram",
		option.Fields("field", &m.Field),
		option.Words("account", "id of an account", &m.Account),
		option.Words("object", "kind of object such as instagram", &m.Object),
		option.Bool("test", &m.Test),
		option.Bool("echo", &m.Echo),
	)
	t.Validate = m.Validate
	return t
}

// Provision warns of fields that are not known, and has the config examined: a
// matcher that no instagram_webhook stands before is warned of.
func (m *Match) Provision(ctx caddy.Context) error {
	option.LogUnknownFields(ctx.Logger(), m.Field)
	_, err := app.OfServer(ctx)
	return err
}

// Validate checks the options.
func (m *Match) Validate() error { return event.ValidateFields(m.Field) }

// Match reports whether r is a delivery with an event that fits.
func (m Match) Match(r *http.Request) bool {
	matched, _ := m.MatchWithError(r)
	return matched
}

// MatchWithError reports whether r is a delivery with an event that fits. It
// returns no error.
func (m Match) MatchWithError(r *http.Request) (bool, error) {
	delivery := event.FromContext(r.Context())
	if delivery == nil {
		return false, nil
	}
	events := delivery.Events()
	for i := range events {
		if m.fits(&events[i]) {
			return true, nil
		}
	}
	return false, nil
}

func (m Match) fits(e *event.Event) bool {
	return oneOf(m.Field, e.Field) && oneOf(m.Account, e.Account) && oneOf(m.Object, e.Object) &&
		(m.Test == nil || *m.Test == e.Test) && (m.Echo == nil || *m.Echo == e.Echo)
}

func oneOf(wanted []string, value string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, value)
}

// CELLibrary makes the matcher usable in expressions:
//
//	expression instagram({'field': ['messages', 'messaging_postbacks'], 'echo': 'false'})
func (Match) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return caddyhttp.CELMatcherImpl("instagram", "instagram_match_request", []*cel.Type{caddyhttp.CELTypeJSON},
		func(data ref.Val) (caddyhttp.RequestMatcherWithError, error) { return fromCEL(ctx, data) })
}

func fromCEL(ctx caddy.Context, data ref.Val) (caddyhttp.RequestMatcherWithError, error) {
	options, err := caddyhttp.CELValueToMapStrList(data)
	if err != nil {
		return nil, err
	}
	m := new(Match)
	table := m.options()
	for name, args := range options {
		if err := table.Set(name, args); err != nil {
			return nil, err
		}
	}
	return m, m.Provision(ctx)
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*Match)(nil)
	_ caddyhttp.RequestMatcherWithError = Match{}
	_ caddyhttp.CELLibraryProducer      = Match{}
	_ caddyfile.Unmarshaler             = (*Match)(nil)
	_ caddy.Validator                   = (*Match)(nil)
)
