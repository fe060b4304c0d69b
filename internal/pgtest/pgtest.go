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
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a server for tests. It only listens on a socket, unless a setting says more.
type Server struct {
	// Dir is where its socket and its log are.
	Dir string

	// Data is where its data are: in Dir, unless that is changed before Init or Follow.
	Data string

	// DSN is where it is.
	DSN string

	// Inside calls run, which starts the process and returns when it has ended. It can be set
	// before Init or Follow, to have the process be in a network of its own.
	Inside func(run func() error) error

	bin   string // where the programs are
	args  []string
	as    func(*exec.Cmd)
	exec  *exec.Cmd
	ended <-chan struct{} // closed when the process has ended; nil before the first
}

// Start starts a new server, with settings such as "fsync=off".
func Start(settings ...string) (*Server, error) {
	s, err := New(settings...)
	if err != nil {
		return nil, err
	}
	if err := s.Init(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// New returns a server that is not started yet. As it refuses to be root's, it is that of the
// user postgres then.
func New(settings ...string) (*Server, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return nil, errors.New("PostgreSQL is not installed: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("/tmp", "pg") // the path of a Unix socket must be short
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, Data: filepath.Join(dir, "data"), DSN: "host=" + dir + " user=postgres dbname=postgres"}
	s.bin, s.as = filepath.Dir(found[len(found)-1]), func(*exec.Cmd) {}
	s.Inside = func(run func() error) error { return run() }
	s.args = []string{"-k", s.Dir, "-c", "listen_addresses="}
	s.Set("max_connections=500", "shared_buffers=64MB", "dynamic_shared_memory_type=mmap") // in Dir: a killed server leaves it
	s.Set(settings...)
	if os.Getuid() == 0 {
		owner, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.ParseUint(owner.Uid, 10, 32)
		gid, _ := strconv.ParseUint(owner.Gid, 10, 32)
		if err := os.Chown(s.Dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
		s.as = func(cmd *exec.Cmd) { runAs(cmd, uint32(uid), uint32(gid)) }
	}
	return s, nil
}

// Set adds settings for the next start.
func (s *Server) Set(settings ...string) {
	for _, setting := range settings {
		s.args = append(s.args, "-c", setting)
	}
}

// Init makes a database and starts the server.
func (s *Server) Init() error {
	if err := s.run("initdb", "-D", s.Data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"); err != nil {
		return err
	}
	const trust = "local all,replication all trust\nhost all all all trust\n"
	if err := os.WriteFile(filepath.Join(s.Data, "pg_hba.conf"), []byte(trust), 0o600); err != nil {
		return err
	}
	return s.Run()
}

// run runs a program of PostgreSQL.
func (s *Server) run(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.Dir
	s.as(cmd)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, output)
	}
	return nil
}

// Run starts the server again, unless it runs, and returns when it can be used. One that is
// about to end is started, too.
func (s *Server) Run() error {
	started := false
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		switch {
		case s.HasEnded() && started:
			log, _ := os.ReadFile(s.log())
			return fmt.Errorf("the server has ended: %s", log[max(0, len(log)-2000):])
		case s.HasEnded():
			if err := s.start(); err != nil {
				return err
			}
			started = true
		}
		err := s.Execute("SELECT 1")
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func (s *Server) log() string { return filepath.Join(s.Dir, "log") }

func (s *Server) start() error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	postgres := exec.Command(filepath.Join(s.bin, "postgres"), append([]string{"-D", s.Data}, s.args...)...)
	postgres.Dir, postgres.Stderr = s.Dir, log
	s.as(postgres)
	ended, err := background(postgres, s.Inside)
	if err != nil {
		return err
	}
	s.exec, s.ended = postgres, ended
	return nil
}

// background starts a program, which ends with this process at the latest. The channel is
// closed when it has ended.
func background(program *exec.Cmd, inside func(run func() error) error) (<-chan struct{}, error) {
	endWithThread(program)
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := inside(func() error {
			if err := program.Start(); err != nil {
				return err
			}
			started <- nil
			_ = program.Wait()
			close(ended)
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	return ended, <-started
}

// Pid is the process of the server that was started last.
func (s *Server) Pid() int { return s.exec.Process.Pid }

// HasEnded reports whether the process of the server has ended, or was never started.
func (s *Server) HasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return s.ended == nil
	}
}

// Crash ends the server at once: it writes nothing more, and recovers from its log the next time.
func (s *Server) Crash() {
	if s.ended == nil {
		return
	}
	quit(s.exec)
	<-s.ended
}

// Stop ends the server and removes what it has.
func (s *Server) Stop() {
	s.Crash()
	_ = os.RemoveAll(s.Data)
	_ = os.RemoveAll(s.Dir)
}

// Execute does something with the database.
func (s *Server) Execute(sql string, args ...any) error {
	return s.connected(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
}

// Query asks the database for one value.
func Query[T any](s *Server, sql string) (value T, err error) {
	err = s.connected(func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(&value) })
	return value, err
}

func (s *Server) connected(do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, conn), conn.Close(ctx))
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
