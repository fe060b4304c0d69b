package check

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestPHPThatAnswers200ToFatalErrors finds PHP that takes deliveries and is not
// told to hide errors.
func TestPHPThatAnswers200ToFatalErrors(t *testing.T) {
	const webhook = "instagram_webhook {\n\tverify_token verify-s3cr3t\n\tapp_secret " + secret + "\n}\n"
	php := func(env string) string { return fmt.Sprintf("php_fastcgi unix//run/php.sock {\n%s\n}\n", env) }
	dynamic := func(env string) string { return "php_fastcgi {\ndynamic a php.internal 9000\n" + env + "\n}\n" }
	const (
		hidden   = "env PHP_ADMIN_VALUE \"\n\tdisplay_errors=0\n\toutput_buffering=1M\n\""
		shown    = "With display_errors=On, PHP at unix//run/php.sock answers 200"
		late     = "unix//run/php.sock answers 200 to a fatal error once output has gone out, and the event counts as delivered."
		buffered = "env PHP_ADMIN_VALUE \"display_errors=0\noutput_buffering = %s\""
	)
	for name, test := range map[string]struct {
		site string
		want Status
		says string
	}{
		"shown":                     {"handle /webhooks {\n" + webhook + php("") + "}", Warning, shown},
		"hidden":                    {"handle /webhooks {\n" + webhook + php(hidden) + "}", OK, ""},
		"hidden among others":       {"handle /webhooks {\n" + webhook + php("env PHP_ADMIN_VALUE \"memory_limit = 1G\ndisplay_errors = Off\noutput_buffering = On\"") + "}", OK, ""},
		"the last one holds":        {"handle /webhooks {\n" + webhook + php("env PHP_ADMIN_VALUE \"display_errors=0\ndisplay_errors=1\"") + "}", Warning, shown},
		"that the script can undo":  {"handle /webhooks {\n" + webhook + php(`env PHP_VALUE "display_errors=0"`) + "}", Warning, shown},
		"to stderr, which is shown": {"handle /webhooks {\n" + webhook + php(`env PHP_ADMIN_VALUE "display_errors=stderr"`) + "}", Warning, shown},
		"behind a queue":            {"handle /webhooks {\n" + webhook + "instagram_queue {\n" + php("") + "}\n}", Warning, shown},
		"for one of two consumers":  {"handle /webhooks {\n" + webhook + "instagram_queue {\nto archive {\nrespond 200\n}\nto shop {\n" + php("") + "}\n}\n}", Warning, shown},
		"behind a queue, hidden":    {"handle /webhooks {\n" + webhook + "instagram_queue {\n" + php(hidden) + "}\n}", OK, ""},
		"rewritten":                 {"handle /webhooks {\n" + webhook + "rewrite /hook.php\n" + php("") + "}", Warning, shown},
		"after it, further out":     {webhook + php(""), Warning, shown},
		"for certain messages":      {webhook + "@m instagram {\n\tfield messages\n}\nhandle @m {\n" + php(hidden) + "}\nhandle {\n" + php("") + "}", Warning, shown},
		"for another path":          {"handle /webhooks {\n" + webhook + "respond 200\n}\nhandle /shop* {\n" + php("") + "}", Skipped, ""},
		"for the rest of the site":  {"handle /webhooks {\n" + webhook + "respond 200\n}\nhandle {\n" + php("") + "}", Skipped, ""},
		"that no delivery reaches":  {"handle /webhooks {\n" + webhook + "instagram_queue {\n\trespond 200\n}\n" + php("") + "}", Skipped, ""},
		"for a part of clients":     {"@lb {\n\tpath /webhooks\n\tremote_ip 10.0.0.0/8\n}\nhandle @lb {\n" + webhook + "respond 200\n}\nhandle {\n" + php("") + "}", Skipped, ""},
		"in a snippet":              {"handle /webhooks {\n" + webhook + "invoke php\n}", Warning, shown},
		"output that goes out":      {"handle /webhooks {\n" + webhook + php(`env PHP_ADMIN_VALUE "display_errors=0"`) + "}", Warning, late},
		"output without a buffer":   {"handle /webhooks {\n" + webhook + php(fmt.Sprintf(buffered, "0")) + "}", Warning, late},
		"output, turned off":        {"handle /webhooks {\n" + webhook + php(fmt.Sprintf(buffered, "Off")) + "}", Warning, late},
		"a line that is none":       {"handle /webhooks {\n" + webhook + php(`env PHP_ADMIN_VALUE "display_errors=0\noutput_buffering=1M"`) + "}", Warning, shown},
		"a buffer for the script":   {"handle /webhooks {\n" + webhook + php("env PHP_ADMIN_VALUE \"display_errors=0\"\nenv PHP_VALUE \"output_buffering=1M\"") + "}", Warning, late},
		"a buffer in bytes":         {"handle /webhooks {\n" + webhook + php(fmt.Sprintf(buffered, "65536")) + "}", OK, ""},
		"found at each request":     {"handle /webhooks {\n" + webhook + dynamic("") + "}", Warning, "PHP at dynamic upstreams answers 200"},
		"found then, output":        {"handle /webhooks {\n" + webhook + dynamic(fmt.Sprintf(buffered, "0")) + "}", Warning, "PHP at dynamic upstreams answers 200 to a fatal error once"},
		"found then, hidden":        {"handle /webhooks {\n" + webhook + dynamic(hidden) + "}", OK, ""},
		"no PHP":                    {"handle /webhooks {\n" + webhook + "reverse_proxy localhost:9000\n}", Skipped, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := configured(t, "{\nadmin off\n}\n&(php) {\n"+php("")+"}\nhooks.example.com {\n"+test.site+"\n}\n")
			c.NoDeliveries = true
			var warnings []string
			if test.want == Warning {
				warnings = []string{ConfigPHP}
			}
			r := c.run()
			r.expect(t, nil, warnings)
			if f := r.find(t, ConfigPHP); f.Status != test.want || !strings.Contains(f.Text, test.says) || test.want == Warning && !strings.Contains(f.Advice, "display_errors=0 and output_buffering=1M") {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestInvokedByItself has a named route that never ends.
func TestInvokedByItself(t *testing.T) {
	t.Parallel()
	s := &setup{}
	s.follow([]byte(`{"apps":{"http":{"servers":{"a":{"named_routes":{"x":{"handle":[{"handler":"invoke","name":"x"}]}},
		"routes":[{"handle":[{"handler":"invoke","name":"x"}]}]}}}}}`), new(http.Request))
}
