package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxAddresses bounds to how many addresses of a name is connected.
const maxAddresses = 16

// outside makes the checks of the callback URL.
func (r *run) outside() {
	addresses, ok := r.resolve()
	if !ok {
		r.skipFrom(Connect, "the host has no address that can be used")
		return
	}
	reached := r.connect(addresses)
	if reached == nil {
		r.skipFrom(TLS, "nothing can be connected to")
		return
	}
	if r.url.Scheme == "http" {
		r.warn(TLS, "The URL begins with http://.", "Fine for trying things out on this machine; Meta calls nothing but https://.")
		r.skip("without TLS there is no certificate", CertificateName, CertificateExpiry, CertificateChain)
	} else if !r.certificate() {
		return
	}
	if !r.reach() {
		return
	}
	r.addresses(reached)
	r.verification()
	r.deliveries()
	r.neighbours()
	r.time()
}

// resolve looks the host up.
func (r *run) resolve() ([]netip.Addr, bool) {
	ctx, cancel := r.step()
	defer cancel()
	host := r.url.Hostname()
	lookup := r.lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addresses, err := lookup(ctx, host)
	if len(addresses) == 0 {
		r.fault(DNS, fmt.Sprintf("%s has no address: %s.", host, reasonOf(err)), "Add an A record with the server's address, and an AAAA record if it has IPv6.")
		return nil, false
	}
	addresses = addresses[:min(len(addresses), maxAddresses)]
	var v4, v6 int
	var private []string
	for i, addr := range addresses {
		addresses[i] = addr.Unmap()
		if addresses[i].Is4() {
			v4++
		} else {
			v6++
		}
		if !public(addresses[i]) {
			private = append(private, addresses[i].String())
		}
	}
	has := fmt.Sprintf("%s has %d IPv4 and %d IPv6 addresses", host, v4, v6)
	switch {
	case private != nil && r.Roots == nil:
		r.warn(DNS, fmt.Sprintf("%s is %s here, which the internet cannot reach.", host, strings.Join(private, ", ")),
			"Run caddy instagram check on a machine elsewhere, to see what Meta sees; and if the public DNS says the same, put the public address there.")
	case v4 == 0:
		r.warn(DNS, has+".", "Add an A record: it is not known that Meta always calls by IPv6.")
	default:
		r.ok(DNS, has+".")
	}
	return addresses, true
}

// public reports whether the internet can reach an address.
func public(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) // behind a provider's NAT
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// connect connects to each address, by itself. It returns those that are
// reached.
func (r *run) connect(addresses []netip.Addr) (reached []netip.Addr) {
	ctx, cancel := r.step()
	defer cancel()
	port := portOf(r.url)
	failed := make([]error, len(addresses))
	var all sync.WaitGroup
	for i, addr := range addresses {
		all.Go(func() {
			conn, err := r.dialer()(ctx, "tcp", net.JoinHostPort(addr.String(), port))
			if failed[i] = err; err == nil {
				_ = conn.Close() // nothing was sent
			}
		})
	}
	all.Wait()

	var unreachable, unknown []string
	for i, err := range failed {
		switch {
		case err == nil:
			reached = append(reached, addresses[i])
		case addresses[i].Is6() && !hasIPv6():
			unknown = append(unknown, addresses[i].String())
		default:
			unreachable = append(unreachable, fmt.Sprintf("%s (%s)", addresses[i], reasonOf(err)))
		}
	}
	untried := ""
	if unknown != nil {
		untried = fmt.Sprintf(" This machine has no IPv6, so %s was not tried.", strings.Join(unknown, ", "))
	}
	switch {
	case reached == nil:
		r.fault(Connect, fmt.Sprintf("No connection to port %s: %s.%s", port, strings.Join(append(unreachable, unknown...), ", "), untried),
			"Start Caddy, and open the port in the firewall and the router on the way.")
	case unreachable != nil:
		r.warn(Connect, fmt.Sprintf("No connection to %s, port %s.%s", strings.Join(unreachable, ", "), port, untried),
			"Meta may use any address of the name: open the port there too, or remove the record.")
	default:
		r.ok(Connect, fmt.Sprintf("%d of %d addresses accept connections on port %s.%s", len(reached), len(addresses), port, untried))
	}
	return reached
}

// portOf returns the port that a URL leads to.
func portOf(to *url.URL) string {
	switch {
	case to.Port() != "":
		return to.Port()
	case to.Scheme == "http":
		return "80"
	}
	return "443"
}

// hasIPv6 reports whether this machine has a way to the IPv6 internet. It sends
// nothing.
func hasIPv6() bool {
	conn, err := net.DialTimeout("udp6", "[2001:db8::1]:9", time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was never used
	return true
}

func (r *run) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	if r.dial != nil {
		return r.dial
	}
	return new(net.Dialer).DialContext
}

// reasonOf puts an error of the network into few words.
func reasonOf(err error) string {
	var lookup *net.DNSError
	var timeout net.Error
	var operation *net.OpError
	switch {
	case err == nil:
		return "there is none"
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "DNS does not know it"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &operation) && operation.Err != nil && operation.Op != "remote error":
		return operation.Err.Error()
	}
	return err.Error()
}
