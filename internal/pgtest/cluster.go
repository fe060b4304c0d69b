package pgtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Cluster is a primary and its standbys. A commit waits for one of them, whichever it is.
type Cluster struct {
	Primary *Server
	Servers []*Server // all of them; their order does not change
}

// NewCluster returns a cluster that is not started yet.
func NewCluster(servers int, settings ...string) (*Cluster, error) {
	c := new(Cluster)
	for range servers {
		s, err := New(append([]string{"synchronous_standby_names=ANY 1 (*)", "wal_keep_size=64MB", "wal_retrieve_retry_interval=200ms"}, settings...)...)
		if err != nil {
			c.Stop()
			return nil, err
		}
		c.Servers = append(c.Servers, s)
	}
	c.Primary = c.Servers[0]
	return c, nil
}

// Init makes the database, and starts all servers.
func (c *Cluster) Init() error {
	if err := c.Primary.Init(); err != nil {
		return err
	}
	for _, s := range c.Standbys() {
		if err := s.Follow(c.Primary); err != nil {
			return err
		}
	}
	return c.Connected(len(c.Servers) - 1)
}

// Standbys are the servers besides the primary.
func (c *Cluster) Standbys() (standbys []*Server) {
	for _, s := range c.Servers {
		if s != c.Primary {
			standbys = append(standbys, s)
		}
	}
	return standbys
}

// DSN finds the primary among all servers, by the names of their hosts.
func DSN(hosts ...string) string {
	return "host=" + strings.Join(hosts, ",") + " user=postgres dbname=postgres target_session_attrs=read-write"
}

// DSN finds the primary by the sockets of all servers.
func (c *Cluster) DSN() string {
	var dirs []string
	for _, s := range c.Servers {
		dirs = append(dirs, s.Dir)
	}
	return DSN(dirs...)
}

// Follow makes a server a standby of another one, with a copy of its data, and starts it.
func (s *Server) Follow(primary *Server) error {
	if err := os.RemoveAll(s.Data); err != nil {
		return err
	}
	if err := s.run("pg_basebackup", "-D", s.Data, "-d", primary.DSN, "-c", "fast", "-R", "--no-sync"); err != nil {
		return err
	}
	return s.Run()
}

// Promote makes the standby the primary that has the most of what the last one wrote, which
// must have ended. So it has all that any standby has confirmed. The others follow it.
func (c *Cluster) Promote() error {
	const position = "SELECT greatest(pg_last_wal_receive_lsn() - '0/0', pg_last_wal_replay_lsn() - '0/0')::bigint"
	most, old := int64(-1), c.Primary
	for _, s := range c.Standbys() {
		if s.HasEnded() {
			continue
		}
		has, err := Query[int64](s, position)
		if err != nil {
			return err
		}
		if has > most {
			most, c.Primary = has, s
		}
	}
	if c.Primary == old {
		return errors.New("there is no standby")
	}
	if err := c.Primary.Execute("SELECT pg_promote()"); err != nil {
		return err
	}
	for _, s := range c.Standbys() {
		if s == old || s.HasEnded() {
			continue
		}
		if err := s.receive(c.Primary.DSN); err != nil {
			return err
		}
	}
	return nil
}

// Detach has no standby receive anything any more, until there is another primary.
func (c *Cluster) Detach() error {
	for _, s := range c.Standbys() {
		if err := s.receive(""); err != nil {
			return err
		}
	}
	return nil
}

// receive has a standby receive from another server.
func (s *Server) receive(dsn string) error {
	if err := s.Execute("ALTER SYSTEM SET primary_conninfo = '" + dsn + "'"); err != nil {
		return err
	}
	return s.Execute("SELECT pg_reload_conf()")
}

// Connected returns when so many standbys are connected.
func (c *Cluster) Connected(standbys int) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n, err := Query[int](c.Primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'")
		if err == nil && n >= standbys {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("%d of %d standbys are connected", n, standbys))
		}
	}
}

// Stop ends all servers and removes what they have.
func (c *Cluster) Stop() {
	for _, s := range c.Servers {
		s.Stop()
	}
}
