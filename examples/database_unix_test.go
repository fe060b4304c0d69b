//go:build unix

package examples_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/pgtest"
	"github.com/caddy-instagram/webhooks/internal/queue"
	"github.com/caddy-instagram/webhooks/internal/queue/postgres"
)

// database is a server that database.sh starts, as the compose file does.
type database struct {
	name, dir, port string
	reserved        net.Listener // keeps the port until the start
	cmd             *exec.Cmd
}

// newDatabase prepares a server, with a port of its own in place of an address of its own.
func newDatabase(t *testing.T, name string) *database {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", name) // the path of a Unix socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("tcp", freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return &database{name: name, dir: dir, port: strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), reserved: listener}
}

// programs returns where those of PostgreSQL are.
func programs(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		pgtest.Need(t, errors.New("PostgreSQL is not installed: apt-get install postgresql"))
	}
	return found[len(found)-1]
}

// owner is who the servers belong to: they refuse to be root's.
func owner(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	found, err := user.Lookup("postgres")
	pgtest.Need(t, err)
	uid, _ := strconv.ParseUint(found.Uid, 10, 32)
	gid, _ := strconv.ParseUint(found.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// start starts a server, of which one is the primary.
func (d *database) start(t *testing.T, primary *database) {
	t.Helper()
	host := primary.name
	if primary != d {
		host = "127.0.0.1"
	}
	_ = d.reserved.Close()
	script, err := os.ReadFile(filepath.Join(severalGateways, "database.sh"))
	if err != nil {
		t.Fatal(err)
	}
	as := owner(t)
	if as != nil {
		if err := os.Chown(d.dir, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	d.cmd = exec.Command("sh", "-c", string(script), "database.sh", "-k", d.dir, "-c", "port="+d.port)
	d.cmd.Dir = d.dir
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	d.cmd.Env = append(os.Environ(), "PATH="+d.slowCopy(t)+":"+programs(t)+":"+os.Getenv("PATH"), "PGDATA="+filepath.Join(d.dir, "data"),
		"NAME="+d.name, "PRIMARY="+host, "PGPORT="+primary.port, "GATEWAY_PASSWORD=sesame", "REPLICATION_PASSWORD=opensesame")
	var output strings.Builder
	d.cmd.Stdout, d.cmd.Stderr = &output, &output
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := d.cmd
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGQUIT)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", d.name, &output)
		}
	})
}

// slowCopy returns a directory with a pg_basebackup that takes some seconds.
func (d *database) slowCopy(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(d.dir, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\nexec " + filepath.Join(programs(t), "pg_basebackup") + " --max-rate=16M \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "pg_basebackup"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkCopy waits until a standby has copied the primary, which must count nothing as a
// synchronous standby until then.
func checkCopy(t *testing.T, primary, standby *database) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%s user=postgres", primary.dir, primary.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for copying, deadline := false, time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var streams, synchronous int
		err := conn.QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE state = 'streaming'), count(*) FILTER (WHERE sync_state <> 'async') FROM pg_stat_replication").Scan(&streams, &synchronous)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(standby.dir, "data")); err == nil {
			if !copying {
				t.Error("the copy was not seen")
			}
			return
		}
		copying = copying || streams > 0
		if synchronous > 0 {
			t.Fatal("the primary counts a copy under way as its standby")
		}
		if time.Now().After(deadline) {
			t.Fatal("the standby has made no copy")
		}
	}
}

// waitServer waits until a server can be used.
func (d *database) waitServer(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := exec.Command(filepath.Join(programs(t), "pg_isready"), "--quiet", "--host="+d.dir, "--port="+d.port).Run()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", d.name, err)
		}
	}
}

// TestDatabaseScript starts a primary and a standby as the example does, and has the standby
// take over.
func TestDatabaseScript(t *testing.T) {
	db1, db2 := newDatabase(t, "db1"), newDatabase(t, "db2")
	db1.start(t, db1)
	db1.waitServer(t)
	db2.start(t, db1)
	checkCopy(t, db1, db2)
	dsn := fmt.Sprintf("postgres://gateway:sesame@127.0.0.1:%s,127.0.0.1:%s/instagram?target_session_attrs=read-write", db1.port, db2.port)
	store, err := postgres.Open(postgres.Options{DSN: dsn, Schema: "instagram"}, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Join(t.Context(), []queue.Consumer{{Name: queue.DefaultConsumer}}); err != nil {
		t.Fatal(err)
	}
	sent := 0
	accepts := func(when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for {
			sent++
			_, err := store.Accept(ctx, []queue.Record{{Identity: fmt.Sprint(sent), Body: []byte("{}")}}, queue.Admission{Dedupe: time.Hour})
			if err == nil {
				return
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s: %v", when, err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	accepts("once both run")
	if err := db1.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = db1.cmd.Wait()
	promote := exec.Command(filepath.Join(programs(t), "pg_ctl"), "promote", "--pgdata="+filepath.Join(db2.dir, "data"))
	promote.SysProcAttr = &syscall.SysProcAttr{Credential: owner(t)}
	if out, err := promote.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if err := os.RemoveAll(filepath.Join(db1.dir, "data")); err != nil {
		t.Fatal(err)
	}
	db1.start(t, db2)
	accepts("with the standby as the primary")
	list, err := store.List(t.Context(), queue.Filter{OldestFirst: true, Limit: 1})
	if err != nil || len(list) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
}
