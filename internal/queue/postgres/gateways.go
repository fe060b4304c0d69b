package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// about is what a gateway says of itself, as it is stored.
type about struct {
	Since     time.Time         `json:"since"`
	Program   string            `json:"program"`
	Schema    int               `json:"schema"`
	Settings  map[string]string `json:"settings,omitempty"`
	Consumers []queue.Recipient `json:"consumers,omitempty"`
}

func (s *Store) describe(settings map[string]string, consumers []queue.Recipient) string {
	durable := map[bool]string{true: "local", false: "replica"}[s.Local]
	a := about{Since: s.opened.UTC(), Program: program(), Schema: version, Settings: map[string]string{"durable": durable}, Consumers: consumers}
	maps.Copy(a.Settings, settings)
	encoded, err := json.Marshal(a)
	if err != nil {
		panic(err) // it has nothing that JSON cannot hold
	}
	return string(encoded)
}

// program returns the version of this program.
func program() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == "github.com/caddy-instagram/webhooks" && m.Version != "" {
				return m.Version
			}
		}
	}
	return "unknown"
}

// Describe implements queue.Sharer.
func (s *Store) Describe(settings map[string]string, consumers []queue.Recipient) {
	about := s.describe(settings, consumers)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.about = about
}

const saySQL = "UPDATE {gateway} SET about = $3 FROM (SELECT set_config('synchronous_commit', $1, true)) AS c WHERE session = $2"

// say tells the database what this gateway says of itself, unless it knows.
func (s *Store) say(ctx context.Context, n *session) error {
	s.mu.Lock()
	about := s.about
	s.mu.Unlock()
	if *n.said.Load() == about {
		return nil
	}
	_, err := s.pool.Exec(ctx, s.sql(saySQL), s.durability(), n.id, about)
	if err == nil {
		n.said.Store(&about)
	}
	return err
}

// The hosts of gateways have a number if they are not unique.
const gatewaysSQL = `SELECT o.generation, g.session, x.host || CASE WHEN count(*) OVER (PARTITION BY x.host) > 1 THEN ' #' || x.id ELSE '' END,
	extract(epoch FROM clock_timestamp() - x.beat)::float8, g.about, ARRAY(SELECT name FROM {consumer})
	FROM (SELECT {generation}()) AS o (generation) LEFT JOIN ({gateway} g JOIN {session} x ON x.id = g.session) ON true ORDER BY x.host, x.id`

// Gateways implements queue.Sharer.
func (s *Store) Gateways(ctx context.Context) ([]queue.Gateway, int64, error) {
	type found struct {
		all        []queue.Gateway
		generation int64
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	f, err := read(ctx, s, func(work context.Context) (f found, err error) {
		rows, err := s.pool.Query(work, s.sql(gatewaysSQL))
		if err != nil {
			return f, err
		}
		var id *int32 // nil: none is running
		var host, said *string
		var silent *float64
		var names []string
		_, err = pgx.ForEachRow(rows, []any{&f.generation, &id, &host, &silent, &said, &names}, func() error {
			if id == nil {
				return nil
			}
			g, err := s.gateway(*id, untext(*host), *said, names)
			g.Seen = time.Now().UTC().Add(-time.Duration(*silent * float64(time.Second)))
			f.all = append(f.all, g)
			return err
		})
		return f, err
	})
	return f.all, f.generation, err
}

// gateway returns one from what it says of itself. Consumers that have not joined yet are left out.
func (s *Store) gateway(id int32, host, said string, joined []string) (g queue.Gateway, err error) {
	var a about
	if err := json.Unmarshal([]byte(said), &a); err != nil {
		return g, fmt.Errorf("what the gateway %s says of itself: %w", host, err)
	}
	s.mu.Lock()
	this := s.session != nil && s.session.id == id
	s.mu.Unlock()
	g = queue.Gateway{Name: host, This: this, Since: a.Since.UTC(), Program: a.Program, Schema: a.Schema, Settings: a.Settings}
	g.Recipients = slices.DeleteFunc(a.Consumers, func(r queue.Recipient) bool { return !slices.Contains(joined, r.Name) })
	return g, nil
}

// compare logs once what the gateways have differently.
func (s *Store) compare() {
	all, _, err := s.Gateways(s.life)
	if err != nil {
		return // whoever accepts finds out
	}
	found := queue.Differences(all)
	said := strings.Join(found, "\n")
	switch {
	case said == s.differences:
	case said == "":
		s.logger().Info("the gateways that share the queue have the same settings again")
	default:
		s.logger().Warn("the gateways that share the queue have different settings: give all of them the same", zap.Strings("differences", found))
	}
	s.differences = said
}

// Refuses implements queue.Sharer.
func (s *Store) Refuses() error {
	if reason := s.unsound.Load(); reason != nil {
		return *reason
	}
	if s.progress.stuck(patience) {
		return errStandby
	}
	return nil
}
