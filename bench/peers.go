//go:build linux

package main

import (
	"fmt"
	"slices"
)

// peer is a server that is measured.
type peer struct {
	name, about string
	folder      string // in peers, which it is started in
	start       []string
	held        bool // its application never answers
	queue       bool // it has a queue
}

// peers are all servers, by what they can be called.
//
// A further one needs a folder in peers with its configuration, an entry here
// with the command that starts it, and its packages in setup. The command finds
// what it needs to know in its environment: see server.go.
var peers = []peer{
	caddy("respond", "Caddy: respond 200"),
	caddy("proxy", "Caddy: reverse_proxy"),
	caddy("webhook", "instagram_webhook, respond 200"),
	queued("queue", "instagram_webhook, instagram_queue, the application does not answer", true),
	queued("deliver", "instagram_webhook, instagram_queue, the application answers at once", false),
	express("answer", "Express, HMAC by node:crypto"),
	express("append", "the same, each event is written to a file"),
	express("fsync", "the same, each event is written to a file and synced"),
}

const caddyProgram = "caddy" // stands for the one that was built

func caddy(config, about string) peer {
	return peer{
		name: config, about: about, folder: "caddy",
		start: []string{caddyProgram, "run", "--adapter", "caddyfile", "--config", config + ".Caddyfile"},
	}
}

func queued(name, about string, held bool) peer {
	p := caddy("queue", about)
	p.name, p.held, p.queue = name, held, true
	return p
}

func express(mode, about string) peer {
	return peer{name: "express-" + mode, about: about, folder: "express", start: []string{"node", "server.js", mode}}
}

// command returns the command that starts the peer.
func (p peer) command(caddy string) []string {
	if p.start[0] != caddyProgram {
		return p.start
	}
	return append([]string{caddy}, p.start[1:]...)
}

func (p peer) isCaddy() bool { return p.start[0] == caddyProgram }

func find(names ...string) ([]peer, error) {
	var found []peer
	for _, name := range names {
		i := slices.IndexFunc(peers, func(p peer) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no peer %q", name)
		}
		found = append(found, peers[i])
	}
	return found, nil
}
