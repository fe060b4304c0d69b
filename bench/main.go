//go:build linux

// Command bench measures the gateway and what people use instead, side by side:
//
//	bench/setup
//	go -C bench run . [flags] [comparison ...]
//
// It must be started in its own folder, which go -C does. The servers run one at a time,
// in turns, several rounds, on this machine, which the loader shares with them.
// All figures are medians over the rounds, with the least and the greatest.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/caddy-instagram/webhooks/event/sample"
)

// bench is one run of this command.
type bench struct {
	rounds         int
	warmup, window time.Duration
	conns, events  int      // 0: what the comparison says
	targets        []string // nil: likewise
	onlyCaddy      bool     // of the usual
	profile        string   // folder; "": none
	markdown       string   // file; "": none
	verbose        bool

	dir     string // is removed in the end
	caddy   string // program
	samples *sample.Generator

	certificates *certificates
	tls          *tls.Config // nil: plain
	checked      map[string]bool
	prefilled    map[string]*prefilled // by target
}

func main() {
	runtime.LockOSThread() // the servers end with the thread that started them
	ok, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run() (ok bool, err error) {
	b := &bench{samples: sample.New(1), checked: make(map[string]bool), prefilled: make(map[string]*prefilled)}
	flag.IntVar(&b.rounds, "rounds", 5, "how often each server has its turn")
	flag.DurationVar(&b.window, "window", 3*time.Second, "how long is measured in a turn")
	flag.DurationVar(&b.warmup, "warmup", time.Second, "how long deliveries are sent before that")
	flag.IntVar(&b.conns, "conns", 0, "number of connections, instead of the usual")
	flag.IntVar(&b.events, "events", 0, "events a delivery, instead of the usual")
	only := flag.String("targets", "", "servers, with commas, instead of the usual; ratios are to the first")
	secure := flag.Bool("tls", false, "deliver over TLS")
	thresholds := flag.Bool("thresholds", false, "check what must hold of what is run; the status is 1 if something does not")
	flag.StringVar(&b.profile, "profile", "", "folder for CPU profiles of Caddy, which make it slower")
	flag.StringVar(&b.markdown, "markdown", "", "file that the tables are appended to, in Markdown, a line for each server")
	flag.StringVar(&b.caddy, "caddy", "", "Caddy to measure; none: ./cmd/caddy is built")
	flag.BoolVar(&b.verbose, "v", false, "print each turn")
	flag.StringVar(&b.dir, "dir", "", "where files are written; it must be on a disk")
	flag.Usage = help
	flag.Parse()
	if *only != "" {
		b.targets = strings.Split(*only, ",")
	}
	done, err := b.prepare(*secure)
	if err != nil {
		return false, err
	}
	defer done()
	if *thresholds {
		return b.checkThresholds(flag.Args())
	}
	_, err = b.run(flag.Args())
	return true, err
}

// help prints the flags, and what can be compared.
func help() {
	w := flag.CommandLine.Output()
	fmt.Fprintln(w, "go -C bench run . [flags] [comparison ...]")
	flag.PrintDefaults()
	fmt.Fprintln(w, "comparisons:")
	for _, c := range comparisons {
		fmt.Fprintf(w, "  %-15s %s\n", c.name, c.about)
	}
	for _, c := range sharedComparisons {
		fmt.Fprintf(w, "  %-15s %s\n", c.name, c.about)
	}
	fmt.Fprintf(w, "  %-15s %s, with no servers but PostgreSQL\n", "shared", strings.Join(sharedUsual(), ", "))
	fmt.Fprintf(w, "  %-15s %s\n", "drain", "a backlog that leaves the queue")
	fmt.Fprintf(w, "  %-15s %s\n", "backlog", "memory and starts with a million events that wait")
	fmt.Fprintf(w, "  %-15s %s, with no servers but Caddy\n", "queue", strings.Join(queueComparisons, ", "))
}

// run runs the comparisons with these names, or all.
func (b *bench) run(names []string) (r results, err error) {
	switch {
	case len(names) == 0:
		names = append(usual(), "drain", "backlog")
	case slices.Equal(names, []string{"queue"}):
		names, b.onlyCaddy = queueComparisons, true
	case slices.Equal(names, []string{"shared"}):
		names = sharedUsual()
	}
	r.tables = make(map[string]*table)
	for _, name := range names {
		named := func(c sharedComparison) bool { return c.name == name }
		switch i := slices.IndexFunc(comparisons, func(c comparison) bool { return c.name == name }); {
		case i >= 0:
			r.tables[name], err = b.compare(comparisons[i])
		case slices.ContainsFunc(sharedComparisons, named):
			r.tables[name], err = b.shared(sharedComparisons[slices.IndexFunc(sharedComparisons, named)])
		case name == "drain":
			r.tables[name], err = b.drain()
		case name == "backlog":
			r.backlog, err = b.backlog()
		default:
			err = fmt.Errorf("there is no comparison %q", name)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

// prepare makes what all servers need. done removes it.
func (b *bench) prepare(secure bool) (done func(), err error) {
	if _, err := os.Stat("targets"); err != nil {
		return nil, fmt.Errorf("this must be started in the folder bench: %w", err)
	}
	if b.profile != "" {
		if b.profile, err = filepath.Abs(b.profile); err == nil {
			err = os.MkdirAll(b.profile, 0o755)
		}
		if err != nil {
			return nil, err
		}
	}
	if b.dir, err = os.MkdirTemp(b.dir, "bench-"); err != nil {
		return nil, err
	}
	done = func() { _ = os.RemoveAll(b.dir) } // nobody is left to be told
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		killAll()
		done()
		os.Exit(1)
	}()
	if err := b.build(secure); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

func (b *bench) build(secure bool) (err error) {
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	if b.certificates, err = makeCertificates(b.dir); err != nil {
		return err
	}
	if secure {
		b.tls = b.certificates.client
	}
	if b.caddy != "" {
		b.caddy, err = filepath.Abs(b.caddy)
		return err
	}
	b.caddy = filepath.Join(b.dir, "caddy")
	if out, err := exec.Command("go", "-C", "..", "build", "-o", b.caddy, "./cmd/caddy").CombinedOutput(); err != nil {
		return fmt.Errorf("building ./cmd/caddy: %w\n%s", err, out)
	}
	return nil
}
