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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address := listener.Addr().(*net.TCPAddr)
	listener.Close()
	config := fmt.Sprintf("[databases]\npostgres = host=%s dbname=postgres user=postgres\n[pgbouncer]\nlisten_addr = %s\nlisten_port = %d\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = %s\nmax_client_conn = 1000\n", s.Dir, address.IP, address.Port, mode)
	path := filepath.Join(s.Dir, mode+".ini")
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
		conn, err := net.Dial("tcp", address.String())
		if err == nil {
			return fmt.Sprintf("postgres://postgres@%s/postgres", address), stop, conn.Close()
		}
		if time.Now().After(deadline) {
			stop()
			return "", nil, err
		}
	}
}
