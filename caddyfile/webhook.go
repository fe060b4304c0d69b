package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-instagram/webhooks/handler"
)

// parseWebhook parses the instagram_webhook directive. Syntax:
//
//	instagram_webhook [<matcher>] {
//	    verify_token <token>
//	    app_secret   [<name>] <secret>
//	    client_cert {
//	        trust_pool  <module> [<args...>]
//	        common_name <names...>
//	        verification
//	    }
//	    max_size <size>
//	    accept_2xx
//	}
//
// verify_token, app_secret and common_name can be given several times.
func parseWebhook(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	webhook := new(handler.Handler)
	h.Next() // consume the directive's name
	if h.NextArg() {
		return nil, h.ArgErr()
	}
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		var err error
		line := lineOf(h.Dispenser)
		switch h.Val() {
		case "verify_token":
			err = parseVerifyToken(h.Dispenser, webhook)
		case "app_secret":
			err = parseAppSecret(h.Dispenser, webhook)
		case "client_cert":
			err = parseClientCert(h.Dispenser, webhook)
		case "max_size":
			err = parseMaxSize(h.Dispenser, webhook)
		case "accept_2xx":
			err = parseAccept2xx(h.Dispenser, webhook)
		default:
			err = h.Errf("unknown option %q of instagram_webhook: the options are verify_token, app_secret, client_cert, max_size and accept_2xx", h.Val())
		}
		if err == nil && (line.words[0] == "verify_token" || line.words[0] == "app_secret") {
			err = line.complete(h.Dispenser) // else the name of a secret would become the secret
		} else {
			err = line.explain(err)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(webhook.VerifyTokens) == 0 {
		return nil, h.Err("instagram_webhook needs at least one verify_token")
	}
	if len(webhook.AppSecrets) == 0 {
		return nil, h.Err("instagram_webhook needs at least one app_secret")
	}
	return webhook, nil
}

func parseVerifyToken(d *caddyfile.Dispenser, webhook *handler.Handler) error {
	var token string
	if !d.AllArgs(&token) {
		return d.Err("verify_token takes one argument: the token that you chose in the App Dashboard")
	}
	if token == "" {
		return d.Err("verify_token is empty")
	}
	webhook.VerifyTokens = append(webhook.VerifyTokens, token)
	return nil
}

func parseAppSecret(d *caddyfile.Dispenser, webhook *handler.Handler) error {
	var s handler.AppSecret
	switch args := d.RemainingArgs(); len(args) {
	case 1:
		s.Secret = args[0]
	case 2:
		s.Name, s.Secret = args[0], args[1]
		if err := handler.ValidateSecretName(s.Name); err != nil {
			return d.WrapErr(err)
		}
	default:
		return d.Err("app_secret takes an optional name and a secret")
	}
	if s.Secret == "" {
		return d.Err("app_secret is empty")
	}
	for _, other := range webhook.AppSecrets {
		if s.Name != "" && s.Name == other.Name {
			return d.Errf("two app secrets have the name %q", s.Name)
		}
	}
	webhook.AppSecrets = append(webhook.AppSecrets, s)
	return nil
}

func parseClientCert(d *caddyfile.Dispenser, webhook *handler.Handler) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	if webhook.ClientCert != nil {
		return d.Err("client_cert is given twice")
	}
	cert := new(handler.ClientCert)
	webhook.ClientCert = cert
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		line := lineOf(d)
		if err := parseClientCertOption(d, cert); err != nil {
			return line.explain(err)
		}
	}
	if cert.TrustPoolRaw == nil {
		return d.Err("client_cert needs a trust_pool, such as: trust_pool file meta-outbound-api-ca-2025-12.pem")
	}
	return nil
}

func parseClientCertOption(d *caddyfile.Dispenser, cert *handler.ClientCert) error {
	switch d.Val() {
	case "trust_pool":
		if cert.TrustPoolRaw != nil {
			return d.Err("trust_pool is given twice: name all files in one, or use trust_pool combined")
		}
		if err := parseTrustPool(d, cert); err != nil {
			return err
		}
	case "common_name":
		names := d.RemainingArgs()
		if len(names) == 0 {
			return d.Err("common_name takes at least one argument: the subject common name of the client certificate")
		}
		cert.CommonNames = append(cert.CommonNames, names...)
	case "verification":
		if d.NextArg() {
			return d.ArgErr()
		}
		cert.Verification = true
	default:
		return d.Errf("unknown option %q of client_cert: the options are trust_pool, common_name and verification", d.Val())
	}
	return nil
}

func parseTrustPool(d *caddyfile.Dispenser, cert *handler.ClientCert) error {
	if !d.NextArg() {
		return d.Err("trust_pool takes the name of a source of CA certificates, such as file")
	}
	name := d.Val()
	module, err := caddyfile.UnmarshalModule(d, "tls.ca_pool.source."+name)
	if err != nil {
		return d.WrapErr(err)
	}
	source, ok := module.(caddytls.CA)
	if !ok {
		return d.Errf("trust_pool module %q is not a source of CA certificates", name)
	}
	cert.TrustPoolRaw = caddyconfig.JSONModuleObject(source, "provider", name, nil)
	return nil
}

func parseMaxSize(d *caddyfile.Dispenser, webhook *handler.Handler) error {
	var arg string
	if !d.AllArgs(&arg) {
		return d.Err("max_size takes one argument: a size such as 8MiB")
	}
	if webhook.MaxSize != 0 {
		return d.Err("max_size is given twice")
	}
	size, err := parseSize(arg)
	if err != nil {
		return d.Errf("max_size %q is not a size such as 8MiB", arg)
	}
	if size == 0 {
		return d.Errf("max_size must be more than nothing: %s", arg)
	}
	webhook.MaxSize = size
	return nil
}

func parseAccept2xx(d *caddyfile.Dispenser, webhook *handler.Handler) error {
	if d.NextArg() {
		return d.Err("accept_2xx takes no argument")
	}
	if webhook.Accept2xx {
		return d.Err("accept_2xx is given twice")
	}
	webhook.Accept2xx = true
	return nil
}
