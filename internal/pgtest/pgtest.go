// Package pgtest starts PostgreSQL servers for tests, from Debian's package.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a server that runs. It only listens on a socket.
type Server struct {
	// Dir is where its socket, its log and its data are.
	Dir string

	// DSN is where it is.
	DSN string

	program  string
	args     []string
	as       func(*exec.Cmd)
	postgres *exec.Cmd
}

// Start starts a new server, with settings such as "fsync=off". As it refuses to be root's,
// it is that of the user postgres then.
func Start(settings ...string) (*Server, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return nil, errors.New("PostgreSQL is not installed: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("/tmp", "pg") // the path of a Unix socket must be short
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, DSN: "host=" + dir + " user=postgres dbname=postgres"}
	if err := s.start(filepath.Dir(found[len(found)-1]), settings); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(bin string, settings []string) error {
	data := filepath.Join(s.Dir, "data")
	s.program, s.as = filepath.Join(bin, "postgres"), func(*exec.Cmd) {}
	s.args = []string{"-D", data, "-k", s.Dir, "-c", "listen_addresses=", "-c", "max_connections=500", "-c", "shared_buffers=64MB"}
	for _, setting := range settings {
		s.args = append(s.args, "-c", setting)
	}
	if os.Getuid() == 0 {
		owner, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.ParseUint(owner.Uid, 10, 32)
		gid, _ := strconv.ParseUint(owner.Gid, 10, 32)
		if err := os.Chown(s.Dir, int(uid), int(gid)); err != nil {
			return err
		}
		s.as = func(cmd *exec.Cmd) { runAs(cmd, uint32(uid), uint32(gid)) }
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
	initdb.Dir = s.Dir
	s.as(initdb)
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	return s.Run()
}

// Run starts the server again after Crash, and returns when it can be used.
func (s *Server) Run() error {
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	postgres := exec.Command(s.program, s.args...)
	postgres.Dir, postgres.Stderr = s.Dir, log
	s.as(postgres)
	if err := postgres.Start(); err != nil {
		return err
	}
	s.postgres = postgres
	for deadline := time.Now().Add(time.Minute); ; {
		err := s.Execute("SELECT 1")
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Crash ends the server at once: it writes nothing more, and recovers from its log the next time.
func (s *Server) Crash() {
	quit(s.postgres.Process)
	_ = s.postgres.Wait()
	s.postgres = nil
}

// Stop ends the server and removes what it has.
func (s *Server) Stop() {
	if s.postgres != nil {
		s.Crash()
	}
	_ = os.RemoveAll(s.Dir)
}

// Execute does something with the database.
func (s *Server) Execute(sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql, args...)
	return errors.Join(err, conn.Close(ctx))
}

// Need skips a test for want of a server, with the error of Start, unless it must not be
// skipped.
func Need(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}
