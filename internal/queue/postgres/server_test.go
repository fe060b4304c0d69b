package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

// server is the one that all tests share; each has a schema of its own.
var server struct {
	dsn    string
	absent error // why there is none
}

func TestMain(m *testing.M) {
	dsn, stop, err := startServer()
	server.dsn, server.absent = dsn, err
	code := m.Run()
	if err == nil {
		stop()
	}
	os.Exit(code)
}

// startServer starts a server from Debian's package, which only listens on a socket. As it
// refuses to be root's, it is that of another user.
func startServer() (dsn string, stop func(), err error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", nil, errors.New("PostgreSQL is not installed: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("/tmp", "pg")
	if err != nil {
		return "", nil, err
	}
	attributes := new(syscall.SysProcAttr)
	if os.Getuid() == 0 {
		owner, err := user.Lookup("postgres")
		if err != nil {
			return "", nil, err
		}
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", nil, err
		}
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	bin := filepath.Dir(found[len(found)-1])
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, attributes
		return cmd
	}
	data := filepath.Join(dir, "data")
	if output, err := run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("initdb: %w: %s", err, output)
	}
	postgres := run("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "max_connections=500", "-c", "shared_buffers=64MB")
	if postgres.Stderr, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return "", nil, err
	}
	if err := postgres.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = postgres.Process.Signal(syscall.SIGQUIT)
		_ = postgres.Wait()
		_ = os.RemoveAll(dir)
	}
	dsn = "host=" + dir + " user=postgres dbname=postgres"
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err == nil {
			return dsn, stop, conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			stop()
			return "", nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// needServer skips a test where there is no server, unless it must not be skipped.
func needServer(t *testing.T) {
	t.Helper()
	if server.absent == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(server.absent)
	}
	t.Skip(server.absent)
}

var schemas atomic.Int64

// newOptions returns those of a new queue, with a clock that may be that of a bubble: nothing
// happens but what the test does.
func newOptions() Options {
	const never = 1e6 * time.Hour
	return Options{
		DSN: server.dsn, Schema: fmt.Sprintf("queue %d", schemas.Add(1)), Local: true,
		timing: timing{pollMin: never, pollMax: never, beat: never, expiry: never, check: never, health: never, unsafe: true},
	}
}

// execute does something with the database directly.
func execute(dsn, sql string, args ...any) error {
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(context.Background(), sql, args...)
	return errors.Join(err, conn.Close(context.Background()))
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o, zap.NewNop)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
