package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-instagram/webhooks/internal/queue"
)

// TestVersions opens a queue of each version of the schema that there was, and goes on with
// it. Whoever changes schema.sql adds a migration and a file to testdata; that of a version
// is not changed any more once it was released.
func TestVersions(t *testing.T) {
	t.Parallel()
	if len(migrations) != version-1 {
		t.Errorf("there are %d migrations to version %d", len(migrations), version)
	}
	for number := 1; number <= version; number++ {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			o := newShared(t, time.Hour)
			script, err := os.ReadFile(fmt.Sprintf("testdata/version%d.sql", number))
			if err != nil {
				t.Fatal(err)
			}
			name := pgx.Identifier{o.Schema}.Sanitize()
			if err := server.Execute("CREATE SCHEMA " + name + "; SET search_path = " + name + ";" + string(script)); err != nil {
				t.Fatal(err)
			}
			s, fresh := open(t, o), open(t, newOptions(t))
			if got, want := layoutOf(t, s), layoutOf(t, fresh); !slices.Equal(got, want) {
				t.Errorf("the schema is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			stats, err := s.Stats(t.Context())
			if err != nil || len(stats) != 2 || queue.StatsOf(stats, "crm").Pending != 3 || queue.StatsOf(stats, "crm").Dead != 1 ||
				!queue.StatsOf(stats, "bot").Paused || queue.StatsOf(stats, "bot").Delivered != 1 {
				t.Fatalf("stats %+v, %v", stats, err)
			}
			if err := s.Pause(t.Context(), "bot", false); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for consumer, want := range map[string][]string{"crm": {"b", "c", "d"}, "bot": {"b", "c", "d"}} {
				var got []string
				for len(got) < len(want) {
					events, _, err := s.Lease(ctx, consumer, 10)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range events {
						got = append(got, e.Identity)
						if err := s.Settle(t.Context(), e, queue.Outcome{State: queue.Delivered}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("%s got %q, want %q", consumer, got, want)
				}
			}
		})
	}
}

// layoutOf returns the tables, indexes, triggers and functions of a queue, without their schema.
func layoutOf(t *testing.T, s *Store) (all []string) {
	t.Helper()
	const layout = `SELECT concat_ws(' ', 'column', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns WHERE table_schema = $1
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1
		UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
		UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
		ORDER BY 1`
	rows, err := s.pool.Query(t.Context(), layout, s.Schema)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	name := strings.NewReplacer(pgx.Identifier{s.Schema}.Sanitize(), "queue", "'"+s.Schema+"'", "queue")
	for _, text := range found {
		all = append(all, strings.Join(strings.Fields(name.Replace(text)), " "))
	}
	return all
}

// TestMigrations has several gateways bring a schema to a newer version at the same time. One
// of the old version that runs goes on, and says so once.
func TestMigrations(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	core, logs := observer.New(zapcore.WarnLevel)
	logger := zap.New(core)
	old, err := Open(o, func() *zap.Logger { return logger })
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := old.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	steps := append(slices.Clone(migrations), "CREATE TABLE second (a int)", "ALTER TABLE second ADD b int")
	var all sync.WaitGroup
	for range 4 {
		newer := open(t, o)
		all.Go(func() {
			if err := newer.migrate(t.Context(), version+2, steps); err != nil || newer.layout.Load() != version+2 {
				t.Errorf("the schema has version %d: %v", newer.layout.Load(), err)
			}
		})
	}
	all.Wait()
	for range 3 {
		old.keep()
		accept(t, old, record(fmt.Sprint(time.Now()), ""))
	}
	if told := logs.FilterMessageSnippet("newer version than this gateway").Len(); told != 1 {
		t.Errorf("the gateway of the old version says %d times that the schema is newer: %v", told, logs.All())
	}
}

// TestSchemaThatIsTooNew refuses, in words, a queue that a newer version has made, also once
// a gateway of it has taken over.
func TestSchemaThatIsTooNew(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	running := openShared(t, o)
	accept(t, running, record("a", ""))
	if err := server.Execute("UPDATE " + pgx.Identifier{o.Schema, "version"}.Sanitize() + " SET number = 7, oldest = 5"); err != nil {
		t.Fatal(err)
	}
	running.keep()
	const says = "the queue is of a newer version: the schema is of version 7, and this program knows 4. Nothing is lost: run the program that wrote it, or a newer one"
	_, err := running.Accept(t.Context(), []queue.Record{record("b", "")}, queue.Admission{})
	if !errors.Is(err, queue.ErrVersion) || err.Error() != says {
		t.Errorf("accepted, %v, want: %s", err, says)
	}
	if _, err := Open(o, nop); !errors.Is(err, queue.ErrVersion) {
		t.Errorf("opened: %v", err)
	}
}
