package check

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, test := range map[string]struct {
		addresses        string
		unreachable      string
		public           bool // no roots were given
		faults, warnings []string
		check, says      string
	}{
		"none":             {"", "", false, []string{DNS}, nil, DNS, "has no address: DNS does not know it"},
		"both":             {"203.0.113.7 2001:db8::7", "", false, nil, nil, DNS, "1 IPv4 and 1 IPv6"},
		"IPv6 only":        {"2001:db8::7", "", false, nil, []string{DNS}, DNS, "0 IPv4 and 1 IPv6"},
		"private":          {"192.168.1.7 203.0.113.7", "", true, []string{CertificateChain}, []string{DNS}, DNS, "is 192.168.1.7 here"},
		"behind a NAT":     {"100.64.1.7", "", true, []string{CertificateChain}, []string{DNS}, DNS, "is 100.64.1.7 here"},
		"one that is dead": {"203.0.113.7 203.0.113.9", "203.0.113.9:443", false, nil, []string{Connect}, Connect, "No connection to 203.0.113.9 (connection refused), port 443"},
		"all dead":         {"203.0.113.9", "203.0.113.9:443", false, []string{Connect}, nil, Connect, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			if test.public {
				c.Roots = nil
			}
			var all []netip.Addr
			for text := range strings.FieldsSeq(test.addresses) {
				all = append(all, netip.MustParseAddr(text))
			}
			c.lookup = func(context.Context, string) ([]netip.Addr, error) {
				if all == nil {
					return nil, &net.DNSError{IsNotFound: true, Name: host}
				}
				return all, nil
			}
			listener := c.online()
			c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == test.unreachable {
					return nil, refused
				}
				return listener.dial(ctx, network, address)
			}
			r := c.examine()
			r.expect(t, test.faults, test.warnings)
			if f := r.find(t, test.check); !strings.Contains(f.Text, test.says) {
				t.Errorf("it says %q", f.Text)
			}
		})
	}
}

// pipes is a network of one machine, without the system's: so that its time can
// be simulated.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// addressed is a connection that has addresses, as servers expect.
type addressed struct {
	net.Conn
	addr net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.addr }
func (a addressed) LocalAddr() net.Addr  { return a.addr }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- addressed{there, p.Addr()}:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// online serves on a network of its own.
func (c *fixture) online() *pipes {
	listener := newPipes()
	server := &http.Server{Handler: c.serve, TLSConfig: c.tls}
	go func() { _ = server.ServeTLS(listener, "", "") }() // until it is closed
	c.t.Cleanup(func() { _ = server.Close() })
	c.dial = listener.dial
	return listener
}

// TestTime has answers take their time, by a simulated clock.
func TestTime(t *testing.T) {
	for name, test := range map[string]struct {
		takes            time.Duration
		faults, warnings []string
		check, says      string
	}{
		"quick":     {2400 * time.Millisecond, nil, nil, Time, "took 2.4s"},
		"slow":      {3 * time.Second, nil, []string{Time}, Time, "took 3s"},
		"too slow":  {6 * time.Second, []string{Time}, nil, Time, "took 6s; Meta waits for 5s"},
		"no answer": {time.Hour, []string{HTTP}, nil, HTTP, "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFixture(t)
				c.Graph = nil
				c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					body := peek(r)
					select {
					case <-time.After(test.takes):
						r.ContentLength = int64(len(body))
						next.ServeHTTP(w, r)
					case <-r.Context().Done():
					}
				})
				// TLS gives up saying good-bye after some seconds.
				t.Cleanup(func() { <-time.After(time.Minute) })
				c.online()
				start := time.Now()
				r := c.examine()
				r.expect(t, test.faults, test.warnings)
				if f := r.find(t, test.check); !strings.Contains(f.Text, test.says) {
					t.Errorf("it says %q", f.Text)
				}
				if took := time.Since(start); took > 20*DefaultTimeout {
					t.Errorf("the checks took %s", took)
				}
			})
		})
	}
}

// TestNobodyAnswers has connections that nobody ever accepts or speaks on.
func TestNobodyAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		dial  func(ctx context.Context, network, address string) (net.Conn, error)
		fault string
	}{
		"connecting": {func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, Connect},
		"TLS": {func(context.Context, string, string) (net.Conn, error) {
			here, _ := net.Pipe()
			return here, nil
		}, TLS},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFixture(t)
				c.dial, c.Timeout, c.Graph = test.dial, time.Second, nil
				start := time.Now()
				r := c.examine()
				r.expect(t, []string{test.fault}, nil)
				if f := r.find(t, test.fault); !strings.Contains(f.Text, "no answer in time") {
					t.Errorf("it says %q", f.Text)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("the checks took %s", took)
				}
			})
		})
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.wrap(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.FormValue("hub.mode") != "" {
			cancel()
			<-r.Context().Done()
		}
		next.ServeHTTP(w, r)
	})
	c.online()
	r, err := c.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	r.expect(t, nil, nil)
	if got := r.with(OK); !slices.Equal(got, slices.Concat([]string{AppSecret, CallbackURL}, outside[:9], []string{ClientCert, Time})) {
		t.Errorf("ok: %q", got)
	}
	if got := len(r.Findings); got < len(outside)+3 {
		t.Errorf("only %d findings", got)
	}
}

func TestBadURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "must begin with https://",
		"hooks.example.com/webhooks":   "must begin with https://",
		"ftp://hooks.example.com/":     "must begin with https://",
		"https:///webhooks":            "names no host",
		"https://me:s3cret@host/":      "no user",
		"https://host/#s3cret":         "no user and no fragment",
		"https://me:s3cret@host:x/":    "not well-formed",
		"http://hooks.example.com/":    "not sent unencrypted",
		"http://127.0.0.1.example.com": "not sent unencrypted",
	} {
		_, err := (&Checker{URL: text}).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWithoutTLSOnThisMachine(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.URL, c.tls = "http://localhost/webhooks", nil
	r := c.run()
	r.expect(t, nil, []string{TLS})
	if got, want := r.with(Skipped), []string{Config, CertificateName, CertificateExpiry, CertificateChain, ClientCert, Deauthorize, Deletion}; !slices.Equal(got, want) {
		t.Errorf("skipped %q, want %q", got, want)
	}
}

// TestHugeAnswers has endless answers.
func TestHugeAnswers(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.wrap(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Server", strings.Repeat("verbose ", 1000))
		for range 1000 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	r := c.run()
	for _, f := range r.Findings {
		if len(f.Text) > 1000 || strings.ContainsRune(f.Text, '\x1b') {
			t.Errorf("%q", f)
		}
	}
	r.expect(t, []string{Verification, DeliveryUnsigned, DeliveryWrongSignature, DeliveryOtherSecret}, []string{NeighbourPath, NeighbourHost})
}
