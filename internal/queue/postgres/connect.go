package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// connect returns a pool of connections, of which it makes none yet. No statement is
// prepared, so that poolers such as pgbouncer may be in between.
func (s *Store) connect() (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(s.DSN)
	if err != nil {
		return nil, errDSN // err has parts of it
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.ConnectTimeout = s.timing.connect
	config.HealthCheckPeriod = s.health
	// A commit whose wait for the standby an operator has cancelled succeeds, with a warning.
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			s.warnings.Add(1)
		}
	}
	if !strings.Contains(s.DSN, "pool_max_conns") {
		config.MaxConns = 16
	}
	// A server that is gone without a word is noticed by TCP: no statement has a timeout.
	dialer := &net.Dialer{
		Timeout:         config.ConnConfig.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3},
		Control:         setUserTimeout,
	}
	config.ConnConfig.DialFunc = dialer.DialContext
	// So is a gateway, by the server: what it was doing may hold locks that others wait for.
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT set_config('tcp_keepalives_idle', '2', false), set_config('tcp_keepalives_interval', '1', false),
			set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '5000', false),
			set_config('default_transaction_isolation', 'read committed', false), set_config('client_min_messages', 'warning', false)`)
		return err
	}
	return pgxpool.NewWithConfig(context.Background(), config)
}

var function = regexp.MustCompile(`\{(\w+)\}`)

// sql puts the schema before names in braces.
func (s *Store) sql(text string) string {
	return function.ReplaceAllString(text, pgx.Identifier{s.Schema}.Sanitize()+".$1")
}

// queryRow asks for one row with parameters in binary, which takes pgx a statement that is
// prepared: in text, bodies would be twice as long.
func (s *Store) queryRow(ctx context.Context, sql string, args, into []any) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	types := conn.Conn().TypeMap()
	values, oids, formats := make([][]byte, len(args)), make([]uint32, len(args)), []int16{pgx.BinaryFormatCode}
	for i, arg := range args {
		t, ok := types.TypeForValue(arg)
		if !ok {
			return fmt.Errorf("PostgreSQL has no type for a %T", arg)
		}
		oids[i] = t.OID
		if values[i], err = types.Encode(t.OID, pgx.BinaryFormatCode, arg, nil); err != nil {
			return err
		}
	}
	result := conn.Conn().PgConn().ExecParams(ctx, s.sql(sql), values, oids, formats, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if len(result.Rows) != 1 {
		return pgx.ErrNoRows
	}
	for i, field := range result.FieldDescriptions {
		if err := types.Scan(field.DataTypeOID, field.Format, result.Rows[0][i], into[i]); err != nil {
			return err
		}
	}
	return nil
}

// The errors of the functions.
const (
	codeNoConsumer = "IQ001"
	codeFull       = "IQ002"
	codeNoSession  = "IQ003"
	codeTooMany    = "IQ004"
	codeOutdated   = "IQ005"
	codeNoStandbys = "IQ006"
	codeMigrated   = "IQ007" // by another gateway

	codeExists        = "42P07" // a table
	codeUnique        = "23505"
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
)

// code returns the SQLSTATE of an error, or "".
func code(err error) string {
	if e := new(pgconn.PgError); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// lasts reports whether an error is not one that passes by itself: the config is wrong, or the
// user lacks a permission.
func lasts(err error) bool {
	if errors.Is(err, queue.ErrVersion) || errors.Is(err, queue.ErrClosed) {
		return true
	}
	switch c := code(err); c {
	case codeNoSession, codeOutdated, codeNoStandbys, codeMigrated:
		return false
	default:
		return len(c) == 5 && slices.Contains([]string{"IQ", "28", "3D", "3F", "42"}, c[:2])
	}
}

// retry does something again that was undone because others did the like at the same time.
func retry[T any](ctx context.Context, do func(context.Context) (T, error)) (value T, err error) {
	for range 5 {
		value, err = do(ctx)
		switch code(err) {
		case codeUnique, codeSerialization, codeDeadlock, codeNoSession:
			continue
		}
		break
	}
	return value, err
}

var (
	errDSN        = errors.New("the dsn cannot be parsed: it looks like postgres://user:password@host/database")
	errPatience   = fmt.Errorf("no answer from the database within %s", patience)
	errUnprepared = errors.New("no answer from the database for seconds: is its synchronous standby away, or is its schema being changed?")
	errStandby    = errors.New("the database does not commit: is its synchronous standby away?")
	errLost       = fmt.Errorf("%w: its lease was lost, and another gateway may have the event", queue.ErrNotFound)
)

// sanitize returns an error without what the DSN says. pgx puts users and hosts into its own.
func sanitize(err error) error {
	server, dns, op := new(pgconn.PgError), new(net.DNSError), new(net.OpError)
	switch {
	case err == nil, errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrVersion), errors.Is(err, queue.ErrFull):
		return err
	case errors.As(err, &server):
		switch server.Code {
		case codeNoConsumer:
			return fmt.Errorf("%w: %s", queue.ErrNoConsumer, server.Detail)
		case codeOutdated:
			return queue.ErrOutdated
		case codeNoStandbys:
			return noStandbys
		case codeTooMany:
			return fmt.Errorf("more than %d consumers", queue.MaxConsumers)
		// What the database says to these may name user and database.
		case "28P01", "28000", "3D000":
			return fmt.Errorf("the database refuses the user of the dsn (SQLSTATE %s)", server.Code)
		case "42501":
			return fmt.Errorf("the user of the dsn lacks a permission (SQLSTATE %s)", server.Code)
		case "53300":
			return fmt.Errorf("the database has no connection left (SQLSTATE %s)", server.Code)
		case "55000":
			return fmt.Errorf("the database takes no connections, or cannot do this now (SQLSTATE %s)", server.Code)
		}
		return fmt.Errorf("the database says: %s (SQLSTATE %s)", server.Message, server.Code)
	case errors.As(err, &dns):
		return errors.New("the database cannot be reached: its name cannot be resolved")
	case errors.As(err, &op):
		return fmt.Errorf("the database cannot be reached: %w", op.Err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the database cannot be reached: no answer in time")
	case isOurs(err):
		return err
	}
	return errors.New("the connection to the database broke")
}

func isOurs(err error) bool {
	for _, own := range []error{queue.ErrNotFound, queue.ErrLeased, queue.ErrNoConsumer, errPatience, errUnprepared, errStandby, context.Canceled} {
		if errors.Is(err, own) {
			return true
		}
	}
	return errors.As(err, new(unsound))
}

// Name returns a name for the queue of a DSN and a schema, which tells it from others and has
// neither the user nor the host. It returns an error if the DSN is none.
func Name(dsn, schema string) (string, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", errDSN // err has parts of it
	}
	servers := fmt.Sprint(config.Database, " ", config.Host, " ", config.Port)
	for _, other := range config.Fallbacks {
		servers += fmt.Sprint(" ", other.Host, " ", other.Port)
	}
	hash := sha256.Sum256([]byte(servers))
	return fmt.Sprintf("postgres:%s@%x", schema, hash[:4]), nil
}
