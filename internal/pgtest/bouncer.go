package pgtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// StartBouncer starts a pgbouncer in front of the server, which pools transactions or
// statements, and returns where it is. It ends with stop.
func (s *Server) StartBouncer(mode string) (dsn string, stop func(), err error) {
	const program = "/usr/sbin/pgbouncer"
	if _, err := os.Stat(program); err != nil {
		return "", nil, errors.New("pgbouncer is not installed: apt-get install pgbouncer")
	}
	// Its socket has a directory of its own, and so needs no port that is free.
	dir, err := os.MkdirTemp(s.Dir, mode)
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o777); err != nil { // it may be another user's
		return "", nil, err
	}
	config := fmt.Sprintf("[databases]\npostgres = host=%s dbname=postgres user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n"+
		"unix_socket_dir = %s\nauth_type = any\npool_mode = %s\nmax_client_conn = 1000\n", s.Dir, dir, mode)
	path := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return "", nil, err
	}
	bouncer := exec.Command(program, "-q", path)
	s.as(bouncer)
	ended, err := background(bouncer, func(run func() error) error { return run() })
	if err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = bouncer.Process.Kill()
		<-ended
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", filepath.Join(dir, ".s.PGSQL.6432"))
		if err == nil {
			return fmt.Sprintf("host=%s port=6432 user=postgres dbname=postgres", dir), stop, conn.Close()
		}
		if time.Now().After(deadline) {
			stop()
			return "", nil, err
		}
	}
}
