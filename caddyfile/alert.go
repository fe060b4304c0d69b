package caddyfile

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/internal/alert"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/option"
)

// parseAlert parses an alert, from a dispenser that has come to it. All in its block that is not an option is parsed as
// the routes that take the alerts.
func parseAlert(d *caddyfile.Dispenser, config *app.App) error {
	const usage = "alert takes a URL such as https://alerts.example.com/instagram, or a block with a handler that takes the alerts"
	receiver := new(app.AlertReceiver)
	block := caddyfile.Segment{d.Token()}
	line := option.LineOf(d)
	if args := d.RemainingArgs(); len(args) > 1 {
		return d.Err(usage)
	} else if len(args) == 1 {
		receiver.URL = args[0]
		if err := checkAlertURL(receiver.URL); err != nil {
			return d.WrapErr(err)
		}
		if err := line.Complete(d); err != nil {
			return err
		}
	}
	for d.Next() {
		block = append(block, d.Token())
	}
	options := option.NewTable("alert",
		option.Word("format", strings.Join(alert.Formats, ", "), &receiver.Format),
		option.Words("only", "kind of alert such as refusing", &receiver.Only),
	)
	options.Validate = receiver.ValidateOptions
	directives, err := parseOptions(block, options)
	switch {
	case err != nil:
		return err
	case receiver.URL == "" && len(directives) == 0:
		return option.Dispenser(block).Err(usage)
	case receiver.URL != "" && len(directives) > 0:
		d := option.Dispenser(directives[0])
		return d.Errf("%q is no option of alert: the options are %s. An alert goes to a URL or to handlers", d.Val(), options.Names())
	case len(directives) > 0:
		if receiver.Routes, err = parseGlobalRoutes(block, directives); err != nil {
			return nameUnknown(err, directives, options)
		}
	}
	config.Alerts = append(config.Alerts, receiver)
	return nil
}

// checkAlertURL returns an error for a URL that is wrong already before its placeholders are resolved.
func checkAlertURL(text string) error {
	if strings.Contains(text, "{") {
		return nil
	}
	_, err := app.ParseAlertURL(text)
	return err
}

// parseGlobalRoutes returns the routes that directives of a global option make, as if they were a site of their own:
// outside of a site, there is nothing to parse them with.
func parseGlobalRoutes(block caddyfile.Segment, directives []caddyfile.Segment) (caddyhttp.RouteList, error) {
	site := block[0]
	site.Text = "http://"
	config, _, err := httpcaddyfile.ServerType{}.Setup([]caddyfile.ServerBlock{{
		HasBraces: true, Keys: []caddyfile.Token{site}, Segments: directives,
	}}, nil)
	if err != nil {
		return nil, err
	}
	var parsed caddyhttp.App
	if err := json.Unmarshal(config.AppsRaw["http"], &parsed); err != nil {
		return nil, err
	}
	server := parsed.Servers["srv0"]
	if len(config.AppsRaw) > 1 || len(parsed.Servers) != 1 || server == nil || len(server.Routes) == 0 || server.Errors != nil || server.Logs != nil || len(server.Listen) != 1 {
		return nil, option.Dispenser(block).WrapErr(errors.New("alert takes options and handlers such as reverse_proxy, and no directive that is about a site"))
	}
	return server.Routes, nil
}
