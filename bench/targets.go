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
	consumers   int  // of its queue; 0: one
	forgets     bool // its queue forgets soon what was delivered
	file        bool // it writes events to the file ledgerFile
	tls         bool // it is there over TLS only

	forged     bool           // it is sent forgeries
	events     int            // a delivery; 0: what the comparison says
	waiting    int            // events that its queue holds from the start
	known      int            // events that its queue has delivered before, and keeps
	secrets    int            // that are tried in vain before the right one
	background backgroundKind // who else sends to it
}

// targets are all servers, by what they can be called.
//
// A further one needs a folder in targets with its configuration, an entry here
// with the command that starts it, and its packages in setup. The command finds
// what it needs to know in its environment: see server.go.
var targets = append([]target{
	caddy("respond", "Caddy: respond 200", func(t *target) { t.bare = true }),
	caddy("proxy", "Caddy: reverse_proxy", func(t *target) { t.bare, t.proxies = true, true }),
	caddy("webhook", "instagram_webhook, respond 200"),
	caddy("webhook-cert", "instagram_webhook with client_cert, respond 200", func(t *target) { t.tls = true }),
	caddy("webhook-proxy", "instagram_webhook, reverse_proxy", func(t *target) { t.proxies = true }),
	caddy("file", "instagram_webhook, instagram_file: each event is on disk", func(t *target) { t.file = true }),
	caddy("queue", "instagram_webhook, instagram_queue, the application does not answer", queued, func(t *target) { t.held = true }),
	caddy("queue", "instagram_webhook, instagram_queue, the application answers at once", queued, named("deliver")),
	caddy("consumers", "instagram_webhook, instagram_queue with three consumers that do not answer", queued,
		func(t *target) { t.held, t.consumers = true, 3 }),
	caddy("settling", "instagram_webhook, instagram_queue, the application answers at once, events are kept a second", queued,
		func(t *target) { t.forgets = true }),
	caddy("discard", "instagram_webhook, instagram_queue that delivers to respond 200", queued),
	nginx("njs", "respond", "nginx with njs, HMAC by its WebCrypto"),
	nginx("njs", "proxy", "nginx with njs, proxy_pass", func(t *target) { t.proxies = true }),
	nginx("njs", "append", "nginx with njs, the delivery is written to a file", func(t *target) { t.file = true }),
	nginx("lua", "respond", "nginx with Lua, HMAC by libcrypto"),
	nginx("lua", "proxy", "nginx with Lua, proxy_pass", func(t *target) { t.proxies = true }),
	newTarget("adnanh", "webhook of Debian, it starts /bin/true for each delivery", "adnanh", "./run"),
	express("answer", "Express, HMAC by node:crypto"),
	express("append", "Express, each event is written to a file", func(t *target) { t.file = true }),
	express("fsync", "Express, each event is written to a file and synced", func(t *target) { t.file = true }),
}, variants()...)

// variants returns targets that are others under special conditions.
func variants() (all []target) {
	webhook := caddy("webhook", "instagram_webhook, respond 200")
	queue := caddy("queue", "instagram_webhook, instagram_queue", queued, func(t *target) { t.held = true })
	forged := func(t *target) { t.forged = true }
	for _, t := range []target{webhook, nginx("njs", "respond", "nginx with njs"), nginx("lua", "respond", "nginx with Lua"), express("answer", "Express")} {
		all = append(all, t.with(named(t.name+"-forged"), about("%s, sent forgeries", t.about), forged))
	}
	for _, kind := range []backgroundKind{honest, forging} {
		all = append(all, webhook.with(named("webhook-"+string(kind)), about("instagram_webhook, respond 200, with %d connections more that are %s", backgroundConns, kind),
			func(t *target) { t.background = kind }))
	}
	for _, n := range []int{1, 10, 100, 1000} {
		events := func(t *target) { t.events = n }
		all = append(all,
			webhook.with(named(fmt.Sprintf("webhook-%d", n)), about("%s, %d events a delivery", webhook.about, n), events),
			queue.with(named(fmt.Sprintf("queue-%d", n)), about("%s, %d events a delivery", queue.about, n), events))
	}
	for n := range 5 {
		all = append(all, webhook.with(named(fmt.Sprintf("secrets-%d", n+1)), about("%s, secret %d of %d is right", webhook.about, n+1, n+1),
			func(t *target) { t.secrets = n }))
	}
	for n := 1000; n <= manyEvents; n *= 10 {
		all = append(all, queue.with(named(fmt.Sprintf("pending-%d", n)), about("%s, %d events wait from the start", queue.about, n),
			func(t *target) { t.waiting = n }))
	}
	return append(all, queue.with(named(fmt.Sprintf("known-%d", manyEvents)), about("%s, %d events were delivered before and are kept", queue.about, manyEvents),
		func(t *target) { t.known = manyEvents }))
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
func (t target) with(adjust ...func(*target)) target {
	for _, a := range adjust {
		a(&t)
	}
	return t
}

func queued(t *target) { t.queue = true }

func named(name string) func(*target) { return func(t *target) { t.name = name } }

func about(format string, args ...any) func(*target) {
	return func(t *target) { t.about = fmt.Sprintf(format, args...) }
}

// command returns the command that starts the target.
func (t target) command(caddy string) []string {
	if t.start[0] != caddyProgram {
		return t.start
	}
	return append([]string{caddy}, t.start[1:]...)
}

// isOther reports whether the target with this name is no Caddy.
func isOther(name string) bool {
	found, err := find(name)
	return err == nil && !found[0].isCaddy()
}

func (t target) isCaddy() bool { return t.start[0] == caddyProgram }

// hasLedger reports whether it can be told which events the target has taken, so
// that no delivery may be sent twice.
func (t target) hasLedger() bool { return !t.forged && (t.queue || t.file || t.proxies) }

func find(names ...string) ([]target, error) {
	var found []target
	for _, name := range names {
		i := slices.IndexFunc(targets, func(t target) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no target %q", name)
		}
		found = append(found, targets[i])
	}
	return found, nil
}
