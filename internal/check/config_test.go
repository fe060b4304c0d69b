package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-instagram/webhooks/handler"
)

// The tests of configs are not parallel: the environment, and what Caddy keeps
// for the whole process, are one for all.

// configured returns a fixture with a config, which has the secrets, and a
// directory with a CA's file to write events to.
func configured(t *testing.T, config string) (c *fixture, dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("IG_VERIFY_TOKEN", verifyToken)
	t.Setenv("IG_APP_SECRET", secret)
	c = newFixture(t)
	c.Graph, c.VerifyToken, c.AppSecret = nil, "", ""
	c.sync = func(*os.File) error { return nil } // how fast this machine's disk is does not matter
	c.Config = filepath.Join(dir, "Caddyfile")
	c.write(filepath.Join(dir, "ca.pem"), string(newCA(t, nil, "Meta's").pem()))
	c.write(c.Config, strings.ReplaceAll(config, "DIR", dir))
	return c, dir
}

func (c *fixture) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

const rightConfig = `{
	admin off
	log {
		output file DIR/caddy.log
	}
}
other.example.com {
	instagram_webhook {
		verify_token another-s3cr3t
		app_secret 5ec4e7fedcba98765432100123456789
	}
}
hooks.example.com:8443 {
	instagram_webhook {
		verify_token another-s3cr3t
		app_secret 5ec4e7fedcba98765432100123456789
	}
}
hooks.example.com {
	handle /elsewhere {
		instagram_webhook {
			verify_token another-s3cr3t
			app_secret 5ec4e7fedcba98765432100123456789
		}
	}
	handle /webhooks {
		instagram_webhook {
			verify_token {env.IG_VERIFY_TOKEN}
			app_secret instagram {env.IG_APP_SECRET}
			app_secret meta 5ec4e7fedcba98765432100123456789
			client_cert {
				trust_pool file DIR/ca.pem
			}
		}
		instagram_file DIR/{instagram.field}.jsonl
		instagram_queue {
			store sqlite DIR/missing/deeper/queue.db
			instagram_file DIR/events {
				layout files
			}
		}
	}
}
`

// noClientCert is the config for a site without client certificates.
var noClientCert = strings.Replace(rightConfig, "client_cert {\n\t\t\t\ttrust_pool file DIR/ca.pem\n\t\t\t}", "", 1)

func TestConfigIsWell(t *testing.T) {
	c, dir := configured(t, noClientCert)
	looked := map[string]bool{}
	c.free = func(dir string) (int64, error) { looked[dir] = true; return 10 << 30, nil }
	r := c.run()
	r.expect(t, nil, nil)
	if got, want := r.with(Skipped), []string{ConfigCA, ConfigPHP, QueueAccepting, QueueDelivering, QueueDead, Deauthorize, Deletion, Token, Subscription}; !slices.Equal(got, want) {
		t.Errorf("skipped %q, want %q", got, want)
	}
	var subjects []string
	for _, f := range r.Findings {
		if f.Subject != "" {
			subjects = append(subjects, f.Check+" "+strings.TrimPrefix(f.Subject, dir))
		}
	}
	want := []string{
		"disk.space ", "disk.sync ", "disk.space /missing/deeper", "disk.sync /missing/deeper", "disk.space /events", "disk.sync /events",
		"app_secret secret1", "app_secret instagram", "app_secret meta", "delivery.signed instagram", "delivery.signed meta",
	}
	if !slices.Equal(subjects, want) {
		t.Errorf("looked at %q, want %q", subjects, want)
	}
	if !looked[dir] || len(looked) != 1 {
		t.Errorf("free space of %v", looked)
	}
	// Nothing is opened or left.
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if name := filepath.Base(path); path != dir && name != "Caddyfile" && name != "ca.pem" {
			t.Errorf("there is %s", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestConfigFaults(t *testing.T) {
	replace := func(before, after string) string {
		if !strings.Contains(noClientCert, before) {
			t.Fatalf("no %q", before)
		}
		return strings.Replace(noClientCert, before, after, 1)
	}
	for name, test := range map[string]struct {
		config           string
		harm             func(c *fixture, dir string)
		faults, warnings []string
		says             string
	}{
		"no such file":           {config: noClientCert, harm: func(c *fixture, dir string) { c.Config += "x" }, faults: []string{Config}, says: "Give the path of Caddy's config."},
		"a directory":            {config: noClientCert, harm: func(c *fixture, dir string) { c.Config = dir }, faults: []string{Config}, says: "Give the path of Caddy's config."},
		"no Caddyfile":           {config: "instagram_webhook {", faults: []string{Config}, says: "caddy validate --config "},
		"nothing of ours":        {config: ":80\nrespond hello\n", faults: []string{Config}, says: "no instagram_webhook"},
		"verify token unset":     {config: replace("{env.IG_VERIFY_TOKEN}", "{env.IG_NOT_SET}"), faults: []string{ConfigSecrets}, says: "{env.IG_NOT_SET}, is not set here"},
		"app secret unset":       {config: replace("app_secret instagram {env.IG_APP_SECRET}", "app_secret instagram {file.DIR/no-such-file}"), faults: []string{ConfigSecrets}, says: `app secret "instagram", {file.`},
		"half of a secret unset": {config: replace("{env.IG_APP_SECRET}", "s3cr3t{env.IG_NOT_SET}"), faults: []string{ConfigSecrets}, says: "resolves to nothing"},
		"handler that fails": {
			config: replace("instagram_file DIR/{instagram.field}.jsonl", "instagram_file DIR/{instagram.no_such}.jsonl"),
			faults: []string{ConfigLoad}, says: "{instagram.no_such}",
		},
		"CA that expires soon": {config: rightConfig, harm: ca(59 * 24 * time.Hour), warnings: []string{ConfigCA}, says: `"CN=Old" in a trust pool expires on`},
		"CA that is expired":   {config: rightConfig, harm: ca(-time.Hour), faults: []string{ConfigCA}, says: "expired on"},
		"disk full": {
			config: noClientCert, harm: free(50 << 20),
			faults: []string{DiskSpace, DiskSpace, DiskSpace}, says: "50 MiB are free",
		},
		"disk nearly full": {config: noClientCert, harm: free(500 << 20), warnings: []string{DiskSpace, DiskSpace, DiskSpace}, says: "500 MiB are free"},
		"queue refuses": {
			config: replace("store sqlite", "min_free_space 2GiB\n\t\tstore sqlite"), harm: free(1500 << 20),
			faults: []string{DiskSpace}, says: "min_free_space is 2.0 GiB",
		},
		"disk broken": {
			config: noClientCert, harm: func(c *fixture, _ string) { c.sync = func(*os.File) error { return errors.New("no such luck") } },
			faults: []string{DiskSync, DiskSync, DiskSync}, says: "no such luck",
		},
		"directory that is a file": {
			config: noClientCert, harm: func(c *fixture, dir string) { c.write(filepath.Join(dir, "missing"), "") },
			faults: []string{DiskSpace},
		},
		"client certificate not asked for": {config: rightConfig, faults: []string{ClientCert}, says: "all deliveries are refused"},
		"Caddy has another secret": {
			config: noClientCert, harm: func(c *fixture, _ string) { c.t.Setenv("IG_APP_SECRET", "5ec4e700000000000000000000000000") },
			faults: []string{DeliverySigned}, says: "another app secret",
		},
		"own limit": {
			config: replace("app_secret meta", "max_size 100KB\n\t\t\tapp_secret meta"),
			harm:   func(c *fixture, _ string) { c.serve.(*receiver).handler.MaxSize = 100_000 },
			faults: []string{DeliveryLarge}, says: "Raise max_size of instagram_webhook",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := configured(t, test.config)
			free(10<<30)(c, dir)
			if test.harm != nil {
				test.harm(c, dir)
			}
			// The fault is in the config; what answers is right, unless harmed.
			if slices.Contains(append(test.faults, test.warnings...), ConfigCA) {
				c.NoDeliveries = true
			}
			if slices.Contains(test.faults, ConfigSecrets) || slices.Contains(test.faults, Config) {
				c.VerifyToken, c.AppSecret = verifyToken, secret
			}
			r := c.run()
			r.expect(t, test.faults, test.warnings)
			worst := append(r.with(Fault), r.with(Warning)...)
			if f := r.find(t, worst[0]); f.Status != OK && !strings.Contains(f.Text+f.Advice, test.says) {
				t.Errorf("it does not say %q: %+v", test.says, f)
			}
		})
	}
}

// ca makes the CA in the trust pool expire.
func ca(in time.Duration) func(*fixture, string) {
	return func(c *fixture, dir string) {
		old := newCAUntil(c.t, nil, "Old", time.Now().Add(in))
		c.write(filepath.Join(dir, "ca.pem"), string(old.pem())+string(newCA(c.t, nil, "Next").pem()))
	}
}

func free(bytes int64) func(*fixture, string) {
	return func(c *fixture, _ string) { c.free = func(string) (int64, error) { return bytes, nil } }
}

func TestConfigDemandsClientCertificate(t *testing.T) {
	c, dir := configured(t, strings.Replace(rightConfig, "trust_pool", "verification\n\t\t\t\ttrust_pool", 1))
	free(10<<30)(c, dir)
	meta := newCA(t, nil, "Meta's")
	c.serve = newReceiver(t, func(h *handler.Handler) {
		h.ClientCert = &handler.ClientCert{TrustPoolRaw: meta.trustPool(t), Verification: true}
	})
	c.tls.ClientAuth = 1 // tls.RequestClientCert
	r := c.run()
	r.expect(t, nil, nil)
	if f := r.find(t, Verification); f.Status != Skipped || !strings.Contains(f.Text, "client certificate") {
		t.Errorf("%+v", f)
	}
	c, dir = configured(t, rightConfig)
	free(10<<30)(c, dir)
	c.tls.ClientAuth = 1
	c.run().expect(t, []string{ClientCert}, nil) // the handler that answers does not demand it
}

func TestConfigInJSON(t *testing.T) {
	c, dir := configured(t, "")
	free(10<<30)(c, dir)
	c.Config = filepath.Join(dir, "caddy.json")
	c.write(c.Config, `{"@id":"x","admin":{"disabled":true},"apps":{"http":{"servers":{"a":{"listen":["127.0.0.1:8080"],"routes":[
		{"match":[{"host":["*.example.com"]},{"host":["x"]}],"handle":[{"handler":"subroute","routes":[{"match":[{"path":["/WEB*"]}],"handle":[
			{"handler":"instagram_webhook","verify_tokens":["{env.IG_VERIFY_TOKEN}"],"app_secrets":[{"secret":"{env.IG_APP_SECRET}"}]},
			{"handler":"instagram_queue","routes":[{"handle":[{"handler":"static_response"}]}]}]}]}]},
		{"handle":[{"handler":"instagram_webhook","verify_tokens":["other-s3cr3t"],"app_secrets":[{"secret":"5ec4e7fedcba98765432100123456789"}]}],"match":[{"path":["/other"]}]}
	]}}}}}`)
	r := c.run()
	r.expect(t, nil, nil)
	if f := r.find(t, DeliverySigned); f.Subject != "secret1" {
		t.Errorf("%+v", f)
	}
	if f := r.find(t, DiskSpace); !strings.HasSuffix(filepath.ToSlash(f.Subject), "/caddy/instagram") {
		t.Errorf("%+v", f)
	}
}

// TestGivenBeatsConfig gives other secrets than the config has.
func TestGivenBeatsConfig(t *testing.T) {
	c, dir := configured(t, strings.ReplaceAll(noClientCert, "{env.IG_", "{env.IG_OTHER_"))
	free(10<<30)(c, dir)
	t.Setenv("IG_OTHER_VERIFY_TOKEN", "another-s3cr3t")
	t.Setenv("IG_OTHER_APP_SECRET", "5ec4e700000000000000000000000000")
	c.VerifyToken, c.AppSecret = verifyToken, secret
	c.run().expect(t, nil, nil)
}

func TestSyncTime(t *testing.T) {
	for took, want := range map[time.Duration]Status{
		50 * time.Millisecond: OK, 200 * time.Millisecond: Warning, 1100 * time.Millisecond: Fault, time.Minute: Fault,
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			r := &run{Checker: &Checker{}, ctx: t.Context()}
			n := 0
			r.sync = func(*os.File) error {
				if n++; n == 1 {
					<-time.After(2 * time.Second) // once does no harm
				} else {
					<-time.After(took)
				}
				return nil
			}
			r.syncing(directory{name: dir}, dir)
			if f := r.report.Findings[0]; f.Status != want || took < 10*time.Second && !strings.Contains(f.Text, rounded(took).String()) {
				t.Errorf("%s: %+v", took, f)
			}
			synctest.Wait()
			<-time.After(time.Hour) // until the sync that was given up has ended
		})
	}
}

func TestDirectoryOfOthers(t *testing.T) {
	t.Parallel()
	r := &run{Checker: &Checker{}, ctx: t.Context()}
	r.sync = func(*os.File) error { return fs.ErrPermission }
	dir := t.TempDir()
	r.syncing(directory{name: dir}, dir)
	if f := r.report.Findings[0]; f.Status != Warning || !strings.Contains(f.Advice, "as the user") {
		t.Errorf("%+v", f)
	}
}
