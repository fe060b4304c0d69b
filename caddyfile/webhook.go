package caddyfile

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/appsecret"
	"github.com/caddy-instagram/webhooks/internal/option"
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
	if err := webhookOptions(webhook).ParseBlock(h.Dispenser); err != nil {
		return nil, err
	}
	if len(webhook.VerifyTokens) == 0 {
		return nil, h.Err("instagram_webhook needs at least one verify_token")
	}
	if len(webhook.AppSecrets) == 0 {
		return nil, h.Err("instagram_webhook needs at least one app_secret")
	}
	return webhook, nil
}

// webhookOptions lists the options. The lines of tokens and secrets must be complete, or else another value would be
// the token or the secret.
func webhookOptions(webhook *handler.Handler) *option.Table {
	addToken := func(token string) error { return addVerifyToken(webhook, token) }
	addSecret := func(args []string) error { return addAppSecret(&webhook.AppSecrets, args) }
	cert := new(handler.ClientCert)
	return option.NewTable("instagram_webhook",
		option.Func("verify_token", "the token that you chose in the App Dashboard", addToken).Repeatable().Complete(),
		option.Args("app_secret", "an optional name and a secret", 1, 2, addSecret).Repeatable().Complete(),
		option.Block("client_cert",
			option.Module("trust_pool", "the name of a source of CA certificates, such as file",
				"tls.ca_pool.source", "provider", &cert.TrustPoolRaw),
			option.Words("common_name", "subject common name of the client certificate", &cert.CommonNames),
			option.Flag("verification", &cert.Verification),
		).Then(func() error { return setClientCert(webhook, cert) }),
		option.Size("max_size", "8MiB", &webhook.MaxSize),
		option.Flag("accept_2xx", &webhook.Accept2xx),
	)
}

func addVerifyToken(webhook *handler.Handler, token string) error {
	if token == "" {
		return errors.New("verify_token is empty")
	}
	webhook.VerifyTokens = append(webhook.VerifyTokens, token)
	return nil
}

func addAppSecret(secrets *[]appsecret.AppSecret, args []string) error {
	s := appsecret.AppSecret{Secret: args[len(args)-1]}
	if len(args) == 2 {
		s.Name = args[0]
		if err := appsecret.ValidateName(s.Name); err != nil {
			return err
		}
	}
	if s.Secret == "" {
		return errors.New("app_secret is empty")
	}
	if len(args) == 1 {
		if err := appsecret.ValidateUnnamed(s.Secret); err != nil {
			return err
		}
	}
	for _, other := range *secrets {
		if s.Name != "" && s.Name == other.Name {
			return fmt.Errorf("two app secrets have the name %q", s.Name)
		}
	}
	*secrets = append(*secrets, s)
	return nil
}

func setClientCert(webhook *handler.Handler, cert *handler.ClientCert) error {
	if cert.TrustPoolRaw == nil {
		return errors.New("client_cert needs a trust_pool, such as: trust_pool file meta-outbound-api-ca-2025-12.pem")
	}
	webhook.ClientCert = cert
	return nil
}
