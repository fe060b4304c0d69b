package queue

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
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
