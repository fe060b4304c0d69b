package queue

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/postgres"
)

func init() {
	caddy.RegisterModule(new(Postgres))
}

// The values of durable.
const (
	durableReplica = "replica"
	durableLocal   = "local"
)

// Postgres keeps the events of a queue in a PostgreSQL database, version 15 or newer, that
// several gateways share: each accepts, and each delivers. Each answer of 200 comes after
// the database has committed, on a synchronous standby too.
//
// The config starts while the database is away. Deliveries are answered with 503 until it
// is there. It may be behind a pooler such as pgbouncer, in any of its modes.
type Postgres struct {
	// DSN is where the database is: `postgres://user:password@db1,db2/name?target_session_attrs=read-write`.
	// Placeholders are resolved when the config is loaded: as it has a password, let it be
	// one, such as `{env.IG_QUEUE_DSN}`. Required.
	DSN string `json:"dsn,omitempty"`

	// Schema is the schema that the tables are in. It is made if it is missing. Default:
	// `instagram`.
	Schema string `json:"schema,omitempty"`

	// Durable is where an event must be before the answer is 200: `replica`, which is on a
	// synchronous standby too, or `local`, the disk of one server. With `replica`, the
	// answer is 503 unless PostgreSQL has `synchronous_standby_names` and a standby is
	// connected. Default: `replica`.
	Durable string `json:"durable,omitempty"`

	name    string
	options postgres.Options
}

// CaddyModule returns the Caddy module information.
func (*Postgres) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_queue.stores.postgres",
		New: func() caddy.Module { return new(Postgres) },
	}
}

// UnmarshalCaddyfile parses the store. Syntax:
//
//	store postgres {
//	    dsn     <dsn>
//	    schema  <name>
//	    durable replica|local
//	}
func (p *Postgres) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the module's name
	if d.NextArg() {
		return d.Err("postgres takes no argument, but a block with dsn, schema and durable")
	}
	if err := option.NewTable("postgres",
		option.Word("dsn", "where the database is, such as {env.IG_QUEUE_DSN}", &p.DSN),
		option.Word("schema", "a name", &p.Schema),
		option.Word("durable", "replica or local", &p.Durable),
	).ParseBlock(d); err != nil {
		return err
	}
	if err := p.validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (p *Postgres) validate() error {
	if p.DSN == "" {
		return errors.New("postgres needs a dsn, such as {env.IG_QUEUE_DSN}")
	}
	return option.OneOf("durable", p.Durable, durableReplica, durableLocal)
}

// Provision resolves the DSN. It connects to nothing.
func (p *Postgres) Provision(caddy.Context) error {
	if err := p.validate(); err != nil {
		return err
	}
	dsn, err := caddy.NewReplacer().ReplaceOrErr(p.DSN, true, true)
	if err != nil {
		return fmt.Errorf("dsn: %w", err)
	}
	p.options = postgres.Options{DSN: dsn, Schema: cmp.Or(p.Schema, "instagram"), Local: p.Durable == durableLocal}
	p.name, err = postgres.Name(dsn, p.options.Schema)
	return err
}

// Name implements Opener. It returns a name that has nothing secret of the DSN.
func (p *Postgres) Name() string { return p.name }

// Options implements Variant.
func (p *Postgres) Options() any { return p.options }

// Open implements Opener.
func (p *Postgres) Open(logger func() *zap.Logger) (queue.Store, error) {
	return postgres.Open(p.options, logger)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Postgres)(nil)
	_ caddyfile.Unmarshaler = (*Postgres)(nil)
	_ Variant               = (*Postgres)(nil)
)
