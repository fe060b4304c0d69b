// Package matcher matches requests by the events of an authentic delivery.
package matcher

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/fieldwarn"
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
	for d.Next() {
		if d.NextArg() {
			return d.ArgErr()
		}
		for nesting := d.Nesting(); d.NextBlock(nesting); {
			option, args := d.Val(), d.RemainingArgs()
			if err := m.set(option, args); err != nil {
				return d.WrapErr(err)
			}
			if option == "field" {
				fieldwarn.Caddyfile(d, args)
			}
		}
	}
	return nil
}

// Provision warns of fields that are not known, and has the config examined: a
// matcher that no instagram_webhook stands before is warned of.
func (m *Match) Provision(ctx caddy.Context) error {
	fieldwarn.Log(ctx.Logger(), m.Field)
	_, err := app.OfServer(ctx)
	return err
}

// Validate checks the options.
func (m *Match) Validate() error { return event.ValidateFields(m.Field) }

// set sets an option from its values in a Caddyfile or an expression.
func (m *Match) set(option string, args []string) error {
	switch option {
	case "field":
		if err := event.ValidateFields(args); err != nil {
			return err
		}
		return values(&m.Field, option, args)
	case "account":
		return values(&m.Account, option, args)
	case "object":
		return values(&m.Object, option, args)
	case "test":
		return truth(&m.Test, option, args)
	case "echo":
		return truth(&m.Echo, option, args)
	}
	return fmt.Errorf("unknown option %q of the matcher instagram: the options are field, account, object, test and echo", option)
}

func values(to *[]string, option string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s takes at least one value", option)
	}
	*to = append(*to, args...)
	return nil
}

func truth(to **bool, option string, args []string) error {
	value, err := len(args) == 0, error(nil)
	if len(args) == 1 {
		value, err = strconv.ParseBool(args[0])
	}
	if len(args) > 1 || err != nil {
		return fmt.Errorf("%s takes true or false", option)
	}
	*to = &value
	return nil
}

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
	for option, args := range options {
		if err := m.set(option, args); err != nil {
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
	_ caddy.Provisioner                 = (*Match)(nil)
	_ caddy.Validator                   = (*Match)(nil)
)
