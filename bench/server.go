//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a target that runs, in processes of its own.
type server struct {
	target  target
	cmd     *exec.Cmd
	dir     string // for what it writes
	address string
	admin   string // address of Caddy's admin endpoint
	output  bytes.Buffer
	exited  chan struct{}
	started time.Time
}

// running holds the process groups of all servers: some have processes that do
// not end with the first one.
var running sync.Map

// killAll ends all servers.
func killAll() {
	running.Range(func(group, _ any) bool {
		_ = syscall.Kill(-group.(int), syscall.SIGKILL) // if it fails, all have ended
		return true
	})
}

// start starts a target with a directory and an application behind it, and returns
// when it takes connections.
func (b *bench) start(t target, dir string, behind *backend) (*server, error) {
	s := &server{target: t, dir: dir, exited: make(chan struct{})}
	var err error
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.admin, err = freeAddress(); err != nil {
		return nil, err
	}
	command := t.command(b.caddy)
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Dir = filepath.Join("targets", t.folder)
	s.cmd.Env = append(os.Environ(), b.environment(s, behind)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s.started = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", t.name, err)
	}
	running.Store(s.cmd.Process.Pid, nil)
	go func() {
		_ = s.cmd.Wait() // how it ended stands in cmd.ProcessState
		close(s.exited)
	}()
	if err := s.ready(); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// environment is what the configurations of targets refer to.
func (b *bench) environment(s *server, behind *backend) []string {
	c := b.certificates
	scheme, tls := "http", ""
	if b.tls != nil {
		scheme, tls = "https", "tls "+c.file+" "+c.key
	}
	var others strings.Builder
	for i := range s.target.secrets {
		fmt.Fprintf(&others, "app_secret other%d other-app-secret-%[1]d\n", i)
	}
	_, port, _ := net.SplitHostPort(s.address) // it was made by JoinHostPort
	_, admin, _ := net.SplitHostPort(s.admin)
	return []string{
		"PORT=" + port, "ADMIN=" + admin, "DIR=" + s.dir, "BACKEND=" + behind.address(),
		"SECRET=" + secret, "OTHER_SECRETS=" + others.String(), "TOKEN=" + token,
		"SCHEME=" + scheme, "TLS=" + tls, "CERT=" + c.file, "KEY=" + c.key, "CLIENT_CA=" + c.clientCA,
		"HOME=" + s.dir, "XDG_DATA_HOME=" + s.dir, "XDG_CONFIG_HOME=" + s.dir,
		"NODE_ENV=production",
	}
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// ready waits until the server takes connections.
func (s *server) ready() error {
	for {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-s.exited:
			return fmt.Errorf("%s has ended (%s); it wrote:\n%s", s.target.name, s.cmd.ProcessState, s.tail())
		}
		if time.Since(s.started) > maxWait {
			return fmt.Errorf("%s takes no connections after %s", s.target.name, maxWait)
		}
	}
}

// tail returns the last of what an ended server has written.
func (s *server) tail() string {
	lines := strings.Split(strings.TrimSpace(s.output.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// written returns the last of what a server has written, which ends with it.
func (s *server) written() string {
	s.kill()
	return s.tail()
}

// usage returns what the server's processes use.
func (s *server) usage() (usage, error) { return usageOf(s.cmd.Process.Pid) }

// stop asks the server to end, and insists after a while.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // if it fails, it has ended
	select {
	case <-s.exited:
	case <-time.After(maxWait):
	}
	s.kill()
}

// kill ends the server at once.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // if it fails, all have ended
	running.Delete(s.cmd.Process.Pid)
	<-s.exited
}

// counts are the figures of a queue.
type counts struct {
	Pending, Dead, Delivered int
	InFlight                 int `json:"in_flight"`
}

// sum is how many events the queue holds, each for each of its consumers.
func (c counts) sum() int { return c.Pending + c.Dead + c.Delivered }

// queue asks the gateway what is in its queue.
func (s *server) queue() (c counts, err error) {
	resp, err := http.Get("http://" + s.admin + "/instagram/queue")
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	var stores []counts
	if err := json.NewDecoder(resp.Body).Decode(&stores); err != nil {
		return c, err
	}
	if len(stores) != 1 {
		return c, fmt.Errorf("the gateway has %d queues", len(stores))
	}
	return stores[0], nil
}

// profile writes a profile of a Caddy to a file: what names it below
// /debug/pprof/.
func (s *server) profile(what, file string) error {
	resp, err := http.Get("http://" + s.admin + "/debug/pprof/" + what)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
