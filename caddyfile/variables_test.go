package caddyfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// TestEmptyVariableIsNamed: Caddy replaces {$NAME} before anything is parsed, so
// that one that is not set leaves an error about something else, or none.
func TestEmptyVariableIsNamed(t *testing.T) {
	t.Setenv("VARIABLES_TEST_SET", "value")
	t.Setenv("VARIABLES_TEST_NOTHING", "")
	t.Setenv("VARIABLES_TEST_SPACE", " \t")
	const unset, secret = "VARIABLES_TEST_UNSET", "0123456789abcdef0123456789abcdef"
	t.Setenv("VARIABLES_TEST_SECRET", secret)
	site := func(webhook, more string) string {
		return ":8080 {\ninstagram_webhook {\n" + webhook + "\n}\n" + more + "\n}\n"
	}
	const complete = "verify_token t\napp_secret " + secret
	for name, tc := range map[string]struct {
		text string
		want string // in the error
	}{
		"verify token":          {site("verify_token {$VARIABLES_TEST_UNSET}\napp_secret "+secret, ""), unset},
		"set to nothing":        {site("verify_token {$VARIABLES_TEST_NOTHING}\napp_secret "+secret, ""), "VARIABLES_TEST_NOTHING"},
		"in quotes":             {site(`verify_token "{$VARIABLES_TEST_UNSET}"`+"\napp_secret "+secret, ""), unset},
		"app secret":            {site("verify_token t\napp_secret {$VARIABLES_TEST_UNSET}", ""), unset},
		"app secret with name":  {site("verify_token t\napp_secret instagram {$VARIABLES_TEST_UNSET}", ""), unset},
		"part of a token":       {site("verify_token a{$VARIABLES_TEST_UNSET}\napp_secret "+secret, ""), unset},
		"size":                  {site(complete+"\nmax_size {$VARIABLES_TEST_UNSET}", ""), unset},
		"path":                  {site(complete, "instagram_file {$VARIABLES_TEST_UNSET}"), unset},
		"directory":             {site(complete, "instagram_file {$VARIABLES_TEST_UNSET}/events.jsonl"), unset},
		"path and block":        {site(complete, "instagram_file {$VARIABLES_TEST_UNSET} {\nformat meta\n}"), unset},
		"option of a file":      {site(complete, "instagram_file events.jsonl {\nformat {$VARIABLES_TEST_UNSET}\n}"), unset},
		"store":                 {site(complete, "instagram_queue {\nstore sqlite {$VARIABLES_TEST_UNSET}\nrespond ok\n}"), unset},
		"option of a queue":     {site(complete, "instagram_queue {\ntimeout {$VARIABLES_TEST_UNSET}\nrespond ok\n}"), unset},
		"common name":           {site(complete+"\nclient_cert {\ncommon_name {$VARIABLES_TEST_UNSET}\n}", ""), unset},
		"retry":                 {site(complete, "instagram_queue {\nretry {\nfirst {$VARIABLES_TEST_UNSET}\n}\nrespond ok\n}"), unset},
		"two of them":           {site("verify_token {$VARIABLES_TEST_UNSET}{$VARIABLES_TEST_NOTHING}\napp_secret "+secret, ""), unset + "} and {$VARIABLES_TEST_NOTHING"},
		"all is set":            {site("verify_token {$VARIABLES_TEST_SET}\napp_secret instagram "+secret, "instagram_file {$VARIABLES_TEST_SET}.jsonl"), ""},
		"default":               {site("verify_token {$VARIABLES_TEST_UNSET:t}\napp_secret "+secret, "instagram_file {$VARIABLES_TEST_UNSET:events}.jsonl"), ""},
		"default of nothing":    {site("verify_token t{$VARIABLES_TEST_UNSET:}\napp_secret "+secret, ""), unset},
		"secret, no default":    {site("verify_token t\napp_secret meta {$VARIABLES_TEST_UNSET:}", ""), unset},
		"only white space":      {site("verify_token t\napp_secret meta {$VARIABLES_TEST_SPACE}", ""), "VARIABLES_TEST_SPACE"},
		"secret on a new line":  {site("verify_token t\napp_secret meta \\\n{$VARIABLES_TEST_UNSET}", ""), unset},
		"path on a new line":    {site(complete, "instagram_file \\\r\n{$VARIABLES_TEST_UNSET}/events.jsonl"), unset},
		"path after two lines":  {site(complete, "instagram_file \\\n\\\n{$VARIABLES_TEST_UNSET}/events.jsonl {\nformat meta\n}"), unset},
		"all is set, new line":  {site("verify_token t\napp_secret meta \\\n{$VARIABLES_TEST_SECRET}", ""), ""},
		"of Caddy's directives": {site(complete, "respond ok {$VARIABLES_TEST_UNSET}"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "Caddyfile")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(tc.text), map[string]any{"filename": path})
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "{$"+tc.want+"} in this line is empty") || !strings.Contains(err.Error(), path+":") {
				t.Errorf("got %v, want an error that names %s", err, tc.want)
			}
		})
	}
}

// TestVariableOfAnotherFileIsNotNamed: the config may come from elsewhere, while a
// Caddyfile is where it would be.
func TestVariableOfAnotherFileIsNotNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "Caddyfile")
	const text = ":8080\ninstagram_webhook {\nverify_token\n}\n"
	for _, other := range []string{
		"",
		":8080\ninstagram_webhook {\napp_secret {$VARIABLES_TEST_UNSET}\n}\n",
		":8080\ninstagram_webhook {\nverify_token {$VARIABLES_TEST_UNSET} more\n}\n",
		":8080\n\ninstagram_webhook {\nverify_token {$VARIABLES_TEST_UNSET}\n}\n",
	} {
		if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": path})
		if err == nil || strings.Contains(err.Error(), "VARIABLES_TEST_UNSET") {
			t.Errorf("%q: got %v", other, err)
		}
	}
}

// TestNameOfASecretIsNotTheSecret: where the file cannot be read again, nobody knows that a variable was empty. What it
// leaves of the line must not be taken for a secret, and not be repeated, as it may be one.
func TestNameOfASecretIsNotTheSecret(t *testing.T) {
	t.Setenv("VARIABLES_TEST_SPACE", "  ")
	const secret = "0123456789abcdef0123456789abcdef"
	webhook := func(line string) string {
		return "instagram_webhook {\nverify_token t\n" + line + "\n}\nrespond 200\n"
	}
	for name, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"variable":               {":8080 {\n" + webhook("app_secret meta {$VARIABLES_TEST_UNSET}") + "}", false},
		"long name":              {":8080 {\n" + webhook("app_secret the.meta_app-of-the-mug-shop {$VARIABLES_TEST_UNSET}") + "}", false},
		"white space":            {":8080 {\n" + webhook("app_secret meta {$VARIABLES_TEST_SPACE}") + "}", false},
		"empty default":          {":8080 {\n" + webhook("app_secret meta {$VARIABLES_TEST_UNSET:}") + "}", false},
		"line continuation":      {":8080 {\n" + webhook("app_secret meta \\\n{$VARIABLES_TEST_UNSET}") + "}", false},
		"name from a snippet":    {"(ig) {\n" + webhook("app_secret {args[0]} {$VARIABLES_TEST_UNSET}") + "}\n:8080 {\nimport ig meta\n}", false},
		"snippet's arguments":    {"(ig) {\n" + webhook("app_secret {args[:]}") + "}\n:8080 {\nimport ig meta {$VARIABLES_TEST_UNSET}\n}", false},
		"block of a snippet":     {"(ig) {\n" + webhook("{block}") + "}\n:8080 {\nimport ig {\napp_secret meta {$VARIABLES_TEST_UNSET}\n}\n}", false},
		"signed request":         {":8080 {\ninstagram_signed_request deauthorize {\napp_secret meta {$VARIABLES_TEST_UNSET}\n}\nrespond 200\n}", false},
		"secret":                 {":8080 {\n" + webhook("app_secret "+secret) + "}", true},
		"placeholder":            {":8080 {\n" + webhook("app_secret {env.META_APP_SECRET}") + "}", true},
		"default":                {":8080 {\n" + webhook("app_secret meta {$VARIABLES_TEST_UNSET:"+secret+"}") + "}", true},
		"another kind of secret": {":8080 {\n" + webhook("app_secret simulator a-secret-of-another-service") + "}", true},
		"snippet with all":       {"(ig) {\n" + webhook("app_secret {args[:]}") + "}\n:8080 {\nimport ig meta " + secret + "\n}", true},
	} {
		t.Run(name, func(t *testing.T) {
			// None of these names a file: text/caddyfile that is posted has none, and "-" is the standard input.
			for _, filename := range []string{"", "-", filepath.Join(t.TempDir(), "Caddyfile")} {
				_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(tc.text), map[string]any{"filename": filename})
				switch {
				case tc.ok && err != nil:
					t.Errorf("%q: %v", filename, err)
				case tc.ok:
				case err == nil || !strings.Contains(err.Error(), "may be a name whose secret is missing"):
					t.Errorf("%q: got %v", filename, err)
				case strings.Contains(err.Error(), "mug-shop"):
					t.Errorf("%q: the error repeats what may be a secret: %v", filename, err)
				}
			}
		})
	}
}
