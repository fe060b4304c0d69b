//go:build linux

package main

import (
	"fmt"
	"slices"
)

// target is a server that is measured, and what is particular about its turns.
type target struct {
	name, about string
	folder      string // in targets, which it is started in
	start       []string
	bare        bool // it checks no signature
	proxies     bool // it hands deliveries to its application
	held        bool // its application never answers
	queue       bool // it has a queue
	file        bool // it writes events to the file ledgerFile
	tls         bool // it is there over TLS only

	forged     bool           // it is sent forgeries
	events     int            // a delivery; 0: what the comparison says
	waiting    int            // events that its queue holds from the start
	secrets    int            // that are tried in vain before the right one
	background backgroundKind // who else sends to it
}

// targets are all servers, by what they can be called.
//
// A further one needs a folder in targets with its configuration, an entry here
// with the command that starts it, and its packages in setup. The command finds
// what it needs to know in its environment: see server.go.
var targets = append([]target{
	caddy("respond", "Caddy: respond 200", func(p *target) { p.bare = true }),
	caddy("proxy", "Caddy: reverse_proxy", func(p *target) { p.bare, p.proxies = true, true }),
	caddy("webhook", "instagram_webhook, respond 200"),
	caddy("webhook-cert", "instagram_webhook with client_cert, respond 200", func(p *target) { p.tls = true }),
	caddy("webhook-proxy", "instagram_webhook, reverse_proxy", func(p *target) { p.proxies = true }),
	caddy("file", "instagram_webhook, instagram_file: each event is on disk", func(p *target) { p.file = true }),
	caddy("queue", "instagram_webhook, instagram_queue, the application does not answer", queued, func(p *target) { p.held = true }),
	caddy("queue", "instagram_webhook, instagram_queue, the application answers at once", queued, named("deliver")),
	nginx("njs", "respond", "nginx with njs, HMAC by its WebCrypto"),
	nginx("njs", "proxy", "nginx with njs, proxy_pass", func(p *target) { p.proxies = true }),
	nginx("njs", "append", "nginx with njs, the delivery is written to a file", func(p *target) { p.file = true }),
	nginx("lua", "respond", "nginx with Lua, HMAC by libcrypto"),
	nginx("lua", "proxy", "nginx with Lua, proxy_pass", func(p *target) { p.proxies = true }),
	newTarget("adnanh", "webhook of Debian, it starts /bin/true for each delivery", "adnanh", "./run"),
	express("answer", "Express, HMAC by node:crypto"),
	express("append", "Express, each event is written to a file", func(p *target) { p.file = true }),
	express("fsync", "Express, each event is written to a file and synced", func(p *target) { p.file = true }),
}, variants()...)

// variants returns targets that are others under special conditions.
func variants() (all []target) {
	webhook := caddy("webhook", "instagram_webhook, respond 200")
	queue := caddy("queue", "instagram_webhook, instagram_queue", queued, func(p *target) { p.held = true })
	forged := func(p *target) { p.forged = true }
	for _, p := range []target{webhook, nginx("njs", "respond", "nginx with njs"), nginx("lua", "respond", "nginx with Lua"), express("answer", "Express")} {
		all = append(all, p.with(named(p.name+"-forged"), about("%s, sent forgeries", p.about), forged))
	}
	for _, kind := range []backgroundKind{honest, forging} {
		all = append(all, webhook.with(named("webhook-"+string(kind)), about("instagram_webhook, respond 200, with %d connections more that are %s", backgroundConns, kind),
			func(p *target) { p.background = kind }))
	}
	for _, n := range []int{1, 10, 100, 1000} {
		events := func(p *target) { p.events = n }
		all = append(all,
			webhook.with(named(fmt.Sprintf("webhook-%d", n)), about("%s, %d events a delivery", webhook.about, n), events),
			queue.with(named(fmt.Sprintf("queue-%d", n)), about("%s, %d events a delivery", queue.about, n), events))
	}
	for n := range 5 {
		all = append(all, webhook.with(named(fmt.Sprintf("secrets-%d", n+1)), about("%s, secret %d of %d is right", webhook.about, n+1, n+1),
			func(p *target) { p.secrets = n }))
	}
	for n := 1000; n <= pendingEvents; n *= 10 {
		all = append(all, queue.with(named(fmt.Sprintf("pending-%d", n)), about("%s, %d events wait from the start", queue.about, n),
			func(p *target) { p.waiting = n }))
	}
	return all
}

const caddyProgram = "caddy" // stands for the one that was built

func newTarget(name, about, folder string, start ...string) target {
	return target{name: name, about: about, folder: folder, start: start}
}

func caddy(config, about string, adjust ...func(*target)) target {
	return newTarget(config, about, "caddy", caddyProgram, "run", "--adapter", "caddyfile", "--config", config+".Caddyfile").with(adjust...)
}

func nginx(language, mode, about string, adjust ...func(*target)) target {
	name := language
	if mode != "respond" {
		name += "-" + mode
	}
	return newTarget(name, about, "nginx", "./run", language, mode).with(adjust...)
}

func express(mode, about string, adjust ...func(*target)) target {
	return newTarget("express-"+mode, about, "express", "node", "server.js", mode).with(adjust...)
}

// with returns the target, changed.
func (p target) with(adjust ...func(*target)) target {
	for _, a := range adjust {
		a(&p)
	}
	return p
}

func queued(p *target) { p.queue = true }

func named(name string) func(*target) { return func(p *target) { p.name = name } }

func about(format string, args ...any) func(*target) {
	return func(p *target) { p.about = fmt.Sprintf(format, args...) }
}

// command returns the command that starts the target.
func (p target) command(caddy string) []string {
	if p.start[0] != caddyProgram {
		return p.start
	}
	return append([]string{caddy}, p.start[1:]...)
}

func (p target) isCaddy() bool { return p.start[0] == caddyProgram }

// hasLedger reports whether it can be told which events the target has taken, so
// that no delivery may be sent twice.
func (p target) hasLedger() bool { return !p.forged && (p.queue || p.file || p.proxies) }

func find(names ...string) ([]target, error) {
	var found []target
	for _, name := range names {
		i := slices.IndexFunc(targets, func(p target) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no target %q", name)
		}
		found = append(found, targets[i])
	}
	return found, nil
}
