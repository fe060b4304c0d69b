package queue

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestPostgresName tells queues apart by server, database and schema, and says nothing of the DSN but the schema.
func TestPostgresName(t *testing.T) {
	t.Setenv("IG_TEST_DSN", "postgres://ig:sesame@db1,db2/queues?target_session_attrs=read-write")
	names := make(map[string]string)
	for _, config := range []string{
		`{"dsn": "{env.IG_TEST_DSN}"}`,
		`{"dsn": "{env.IG_TEST_DSN}", "schema": "other"}`,
		`{"dsn": "postgres://ig:sesame@db1/queues"}`,
		`{"dsn": "postgres://ig:sesame@db1,db2/others"}`,
	} {
		p := mustPostgres(t, config)
		if other, taken := names[p.Name()]; taken {
			t.Errorf("%s and %s have the name %s", config, other, p.Name())
		}
		names[p.Name()] = config
		for _, part := range []string{"sesame", "ig:", "db1", "queues"} {
			if strings.Contains(p.Name(), part) {
				t.Errorf("%q is in the name %s", part, p.Name())
			}
		}
	}
	same := mustPostgres(t, `{"dsn": "postgres://others:secret@db1,db2/queues", "schema": "instagram", "durable": "local"}`)
	if names[same.Name()] != `{"dsn": "{env.IG_TEST_DSN}"}` {
		t.Errorf("the same queue has the name %s for another user", same.Name())
	}
}

// TestPostgresReload has the options of the newest config hold: where an event must be before
// the answer is 200, and which user of the database it is stored by.
func TestPostgresReload(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start()
	pgtest.Need(t, err)
	t.Cleanup(server.Stop)
	if err := server.Execute("CREATE ROLE other SUPERUSER LOGIN"); err != nil {
		t.Fatal(err)
	}
	unload := func() {}
	for _, config := range []struct{ user, durable, refusal string }{
		{"postgres", "replica", noStandbys},
		{"postgres", "local", ""},
		{"postgres", "replica", noStandbys},
		{"other", "replica", noStandbys},
		{"other", "local", ""},
	} {
		c := newStubConfig(t)
		h := c.postgres(t, strings.Replace(server.DSN, "user=postgres", "user="+config.user, 1), config.durable)
		c.start(t)
		unload()
		unload = c.unload
		_, err := serveStub(h, stubDelivery(stubComment))
		if config.refusal == "" && err != nil || config.refusal != "" && (err == nil || !strings.Contains(err.Error(), config.refusal)) {
			t.Errorf("%v: %v", config, err)
		}
		n, err := pgtest.Query[int](server, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = '"+config.user+"'")
		if err != nil || n < 2 && config.user == "postgres" || n == 0 { // one of postgres asks this
			t.Errorf("%v: %d connections, %v", config, n, err)
		}
	}
}

// TestGatewayThatWasAway has another gateway drop a consumer while nobody hears of this one.
func TestGatewayThatWasAway(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start()
	pgtest.Need(t, err)
	t.Cleanup(server.Stop)
	c := newStubConfig(t)
	h := c.postgres(t, server.DSN, "local", several("crm", "bot"))
	c.start(t)
	if err := server.Execute("SELECT instagram.leave('local', array_agg(id)), instagram.drop_consumer('local', 0, 'bot') FROM instagram.session"); err != nil {
		t.Fatal(err)
	}
	if _, err := serveStub(h, stubDelivery(stubComment)); err != nil {
		t.Error(err)
	}
	all, err := h.queue.store.List(t.Context(), queue.Filter{Consumer: "bot"})
	if err != nil || len(all) != 1 {
		t.Errorf("the consumer has %d events, want 1: %v", len(all), err)
	}
}

const noStandbys = "synchronous_standby_names is empty"

// postgres provisions a handler with a queue in a database.
func (c *stubConfig) postgres(t *testing.T, dsn, durable string, adjust ...func(*Handler)) *Handler {
	t.Helper()
	store, err := json.Marshal(map[string]string{"module": "postgres", "dsn": dsn, "durable": durable})
	if err != nil {
		t.Fatal(err)
	}
	handler := &Handler{StoreRaw: store, Consumer: Consumer{Routes: stubRoutes(`{"handler":"static_response"}`)}}
	for _, a := range adjust {
		a(handler)
	}
	config, err := json.Marshal(handler)
	if err != nil {
		t.Fatal(err)
	}
	module, err := c.LoadModuleByID("http.handlers.instagram_queue", config)
	if err != nil {
		t.Fatal(err)
	}
	return module.(*Handler)
}

func mustPostgres(t *testing.T, config string) *Postgres {
	t.Helper()
	p := new(Postgres)
	if err := json.Unmarshal([]byte(config), p); err != nil {
		t.Fatal(err)
	}
	if err := p.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPostgresOptions refuses options that make no sense, without a word of the DSN.
func TestPostgresOptions(t *testing.T) {
	t.Setenv("IG_TEST_DSN", "")
	for config, want := range map[string]string{
		`{"store": {"module": "postgres"}}`:                                                          "postgres needs a dsn",
		`{"store": {"module": "postgres", "dsn": "{env.IG_TEST_DSN}"}}`:                              "{env.IG_TEST_DSN} is empty",
		`{"store": {"module": "postgres", "dsn": "postgres://ig:sesame@db:x/q"}}`:                    "the dsn cannot be parsed",
		`{"store": {"module": "postgres", "dsn": "postgres://ig:sesame@db/q", "durable": "disk"}}`:   `durable "disk" is none of replica and local`,
		`{"store": {"module": "postgres", "dsn": "postgres://ig:sesame@db/q"}, "min_free_space": 0}`: "min_free_space is of no use with postgres",
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(config), h); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		err := h.Provision(ctx)
		cancel()
		switch {
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %q", config, err, want)
		case strings.Contains(err.Error(), "sesame"):
			t.Errorf("the DSN is in the error: %v", err)
		}
	}
}
