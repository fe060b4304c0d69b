package check

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-instagram/webhooks/handler"
	"github.com/caddy-instagram/webhooks/internal/app"
)

// inside runs the checks of the config.
func (r *run) inside() {
	if r.Config == "" && !r.Running {
		r.skip("there is no config to look at", Config)
		return
	}
	others := inside[1:]
	config, err := r.read()
	if err != nil {
		r.fault(Config, fmt.Sprintf("The config cannot be read: %s.", err), r.adviceForUnreadable(err))
		r.skip("the config cannot be read", others...)
		return
	}
	if len(r.setup.webhooks) == 0 {
		r.fault(Config, "There is no instagram_webhook in the config.", "Give the config of the Caddy that answers at the callback URL, and put instagram_webhook into its site.")
		r.skip("there is no instagram_webhook in the config", others...)
		return
	}
	r.ok(Config, fmt.Sprintf("The config has %s.", count(len(r.setup.webhooks), "instagram_webhook")))
	switch complete := r.resolveSecrets(); {
	case !complete:
		r.skip("secrets are missing", ConfigLoad)
	case r.Running:
		r.ok(ConfigLoad, "Caddy has loaded the config.")
	default:
		r.load(config)
	}
	r.trustPools()
	r.php()
	r.disks()
	r.queues()
}

// read reads the config, which is not told if it is the running one.
func (r *run) read() (config []byte, err error) {
	if r.Running {
		r.setup = runningSetup(r.URL, r.url)
		return nil, nil
	}
	if config, err = readConfig(r.Config); err == nil {
		r.setup, err = readSetup(config, r.url)
	}
	return config, err
}

// adviceForUnreadable says what to do about a config that cannot be read.
func (r *run) adviceForUnreadable(err error) string {
	info, found := os.Stat(r.Config)
	switch {
	case errors.Is(found, fs.ErrNotExist), found == nil && info.IsDir():
		return "Give the path of Caddy's config."
	case errors.Is(err, fs.ErrPermission):
		return "Run this command as the user that Caddy runs as."
	}
	return "Mend it. This says more: caddy validate" + r.configFlags()
}

// php checks that a fatal error of PHP does not look like success. PHP answers
// 200 to it with display_errors, and once output has gone out.
func (r *run) php() {
	switch s := r.setup; {
	case r.Running:
		r.skip("only 'caddy instagram check --config' looks at how deliveries go to PHP", ConfigPHP)
	case s.fastCGI == 0:
		r.skip("no delivery goes to PHP by FastCGI", ConfigPHP)
	case s.showsErrors == nil && s.unbuffered == nil:
		r.ok(ConfigPHP, "Errors of PHP are answered with 500.")
	default:
		r.warnOfPHP(s.showsErrors, "With display_errors=On, PHP at %s answers 200 to a fatal error, and the event counts as delivered.")
		r.warnOfPHP(s.unbuffered, "PHP at %s answers 200 to a fatal error once output has gone out, and the event counts as delivered.")
	}
}

func (r *run) warnOfPHP(addresses []string, text string) {
	if len(addresses) == 0 {
		return
	}
	slices.Sort(addresses)
	r.warn(ConfigPHP, fmt.Sprintf(text, strings.Join(slices.Compact(addresses), ", ")),
		"Put env PHP_ADMIN_VALUE into its php_fastcgi, with two lines between the quotation marks: display_errors=0 and output_buffering=1M (see docs/receiving.md, PHP). That beats php.ini, the pool and the script.")
}

// count returns a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "one " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// sentence returns a text with a capital at its beginning.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// readConfig returns a config as JSON.
func readConfig(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil || filepath.Ext(name) == ".json" {
		return text, err
	}
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		return nil, errors.New("this binary does not know Caddyfiles")
	}
	config, _, err := adapter.Adapt(text, map[string]any{"filename": name})
	return config, err
}

// validate does what 'caddy validate' does, but opens no logs: Caddy's own stay
// silent from then on.
func validate(config *caddy.Config) error {
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"stderr"}`), Level: "FATAL"}},
	}}
	return caddy.Validate(config)
}

// resolveSecrets resolves the verify tokens and the app secrets as Caddy would,
// and keeps those for the callback URL. It reports whether all are set.
func (r *run) resolveSecrets() bool {
	if !r.Running {
		_ = validate(new(caddy.Config)) // nothing in it can fail; a missing file would be logged
	}
	complete := true
	resolve := func(what, value string) string {
		resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
		r.hide(resolved)
		if err == nil && strings.TrimSpace(resolved) != "" {
			return resolved
		}
		complete = false
		text := fmt.Sprintf("The %s resolves to nothing.", what)
		if single(value) {
			text = fmt.Sprintf("The %s, %s, is not set here.", what, value)
		}
		r.fault(ConfigSecrets, text, "Set it where Caddy starts, in its service's environment for example, and run this command with the same environment and user.")
		return ""
	}
	found := 0
	appSecrets := func(from []handler.AppSecret) (set []appSecret) {
		for i, s := range from {
			name := cmp.Or(s.Name, "secret"+strconv.Itoa(i+1))
			found++
			secret := appSecret{name, resolve(fmt.Sprintf("app secret %q", name), s.Secret)}
			if secret.key == "" {
				continue
			}
			set = append(set, secret)
			if !slices.Contains(r.setup.secrets, secret) {
				r.setup.secrets = append(r.setup.secrets, secret)
			}
		}
		return set
	}
	for _, w := range r.setup.webhooks {
		for _, token := range w.VerifyTokens {
			found++
			if value := resolve("verify token", token); w.chosen && r.token == "" {
				r.token = value
			}
		}
		for _, secret := range appSecrets(w.AppSecrets) {
			if w.chosen && !slices.Contains(r.secrets, secret) {
				r.secrets = append(r.secrets, secret)
			}
		}
	}
	for i := range r.setup.signed {
		h := &r.setup.signed[i]
		h.secrets = appSecrets(h.appSecrets)
	}
	if complete {
		r.ok(ConfigSecrets, fmt.Sprintf("All verify tokens and app secrets are set (%d).", found))
	}
	return complete
}

// single reports whether a value is a placeholder and nothing else, so that it
// may be shown.
func single(value string) bool {
	return (strings.HasPrefix(value, "{env.") || strings.HasPrefix(value, "{file.")) && strings.IndexByte(value, '}') == len(value)-1
}

// load provisions the config.
func (r *run) load(config []byte) {
	loaded := new(caddy.Config)
	err := caddy.StrictUnmarshalJSON(caddy.RemoveMetaFields(config), loaded)
	if err == nil {
		err = validate(loaded)
	}
	if err != nil {
		r.fault(ConfigLoad, fmt.Sprintf("Caddy cannot load the config here: %s.", err), "Mend it. If it concerns files, run this command as the user and in the directory that Caddy runs in.")
		return
	}
	r.ok(ConfigLoad, "Caddy can load the config.")
}

// trustPools checks when the CAs expire that verify client certificates and
// backends.
func (r *run) trustPools() {
	if len(r.setup.cas) == 0 {
		r.skip("the config names no CA", ConfigCA)
		return
	}
	fine := 0
	for _, pool := range r.setup.cas {
		certs, err := pool.certificates()
		if err != nil {
			r.fault(ConfigCA, fmt.Sprintf("The trust pool cannot be read: %s.", err), "Run this command in the directory and as the user that Caddy runs in.")
		}
		for _, ca := range certs {
			switch left := time.Until(ca.NotAfter); {
			case left <= 0:
				r.fault(ConfigCA, fmt.Sprintf("The CA %q in a trust pool expired on %s.", ca.Subject, day(ca.NotAfter)), "Replace it; Meta's current one is on its page \"Getting started\" about webhooks. Then reload Caddy with --force.")
			case left <= app.CAEndsSoon:
				r.warn(ConfigCA, fmt.Sprintf("The CA %q in a trust pool expires on %s.", ca.Subject, day(ca.NotAfter)), "Add its successor beside it; Meta's is on its page \"Getting started\" about webhooks. Then reload Caddy with --force.")
			default:
				fine++
			}
		}
	}
	if fine > 0 {
		r.ok(ConfigCA, fmt.Sprintf("%s in the trust pools %s valid for 60 days and more.", sentence(count(fine, "CA")), map[bool]string{true: "is", false: "are"}[fine == 1]))
	}
}
