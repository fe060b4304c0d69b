// Package file writes authentic events to files, durably.
package file

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/app"
	"github.com/caddy-instagram/webhooks/internal/metrics"
	"github.com/caddy-instagram/webhooks/internal/misplaced"
	"github.com/caddy-instagram/webhooks/internal/option"
	"github.com/caddy-instagram/webhooks/internal/throttle"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler writes the events of each authentic delivery to files, and goes on
// to the next handler; where there is none, Caddy answers 200. It must come
// after `instagram_webhook`: what was not authenticated is not written, but
// answered with 500.
//
// An answer of 200 means on disk: the events are written and synced (fsync)
// first, and the entry of a new file in its directory too. Deliveries that come
// at the same time share a sync. When the events cannot be written, because
// the disk is full for example, the answer is 503 and Meta sends the delivery
// again. A delivery with several events that failed in part is written again
// as a whole: an event can be there twice, with the same id. What Fields leaves
// out is not written, and 200 is right for it all the same.
type Handler struct {
	// Path is the file to append to, or the directory if the layout is
	// `files`. Missing directories are made. Placeholders such as `{env.*}`
	// are resolved when the config is loaded. The placeholders of an event, such
	// as `{instagram.field}` and `{instagram.account}`, and `{time.*}`, are
	// resolved for each event; characters in them other than letters, digits,
	// hyphens and underscores become underscores, and what is longer than 64
	// bytes is cut. At most 128 files are open at a time. When the config starts,
	// the handler tries to write to the path, up to the first placeholder of an
	// event. Handlers that name the same file must agree on Mode and
	// Roll; no other process may write to it.
	Path string `json:"path,omitempty"`

	// Format is what is written of an event:
	//
	// Value | Meaning
	// ------|--------
	// `cloudevents` | A CloudEvent in JSON (the default)
	// `meta` | A delivery in Meta's form that holds just this event
	// `raw` | Not the event, but the whole delivery as Meta sent it, once, to the path of its first event
	Format string `json:"format,omitempty"`

	// Layout is `lines` for a file with one line each (the default), or
	// `files` for a directory with one file each.
	Layout string `json:"layout,omitempty"`

	// Fields are the fields of the events to write, such as `comments`. Others
	// are left out, and counted in the metrics; so is a raw delivery without
	// any of these. What could not be taken apart is always written: nobody
	// knows what it is. Caddy warns at load of a name that is not known.
	// Default: all.
	Fields []string `json:"fields,omitempty"`

	// Mode is the permission bits of new files. Default: `0640`.
	Mode Mode `json:"mode,omitempty"`

	// Roll says when a file is moved aside for a new one, in the layout `lines`
	// only. Default: never.
	Roll Roll `json:"roll,omitzero"`

	path      path
	logger    *zap.Logger
	pool      *pool // nil if Provision failed before it took the pool
	misplaced misplaced.Answerer
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.instagram_file",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision resolves the path and sets the defaults. It opens nothing: what can
// be tried is tried when the config starts.
func (h *Handler) Provision(ctx caddy.Context) error {
	var err error
	if h.path, err = newPath(h.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	h.Format = cmp.Or(h.Format, formatCloudEvents)
	h.Layout = cmp.Or(h.Layout, layoutLines)
	h.Mode = cmp.Or(h.Mode, Mode(defaultMode))
	if !h.Roll.isZero() {
		if err := validateRolled(h.path); err != nil {
			return err
		}
	}
	h.logger = ctx.Logger()
	option.LogUnknownFields(h.logger, h.Fields)
	if err := metrics.Register(ctx.GetMetricsRegistry(), events); err != nil {
		return err
	}
	countFromZero()
	h.pool = sharedPool()
	config, err := app.OfServer(ctx)
	if config != nil {
		config.Register(startCheck{h, config})
	}
	return err
}

// Validate checks the options.
func (h *Handler) Validate() error {
	if h.Layout == layoutFiles && !h.Roll.isZero() {
		return errors.New("roll is for the layout lines: with files, there is nothing to roll")
	}
	return cmp.Or(
		option.OneOf("layout", h.Layout, layoutLines, layoutFiles),
		option.OneOf("format", h.Format, formatCloudEvents, formatMeta, formatRaw),
		event.ValidateFields(h.Fields),
		h.Roll.validate(),
	)
}

// Cleanup releases the files. They are closed once no config uses them.
// Requests under way may go on to write.
func (h *Handler) Cleanup() error {
	if h.pool == nil {
		return nil
	}
	return releasePool()
}

func (h *Handler) mode() fs.FileMode { return fs.FileMode(h.Mode) }

// ServeHTTP writes the events and calls next.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	delivery := event.FromContext(r.Context())
	if delivery == nil {
		h.misplaced.Answer(w, r, h.logger, "instagram_file")
		return nil
	}
	if err := h.store(delivery); err != nil {
		err = caddyhttp.Error(http.StatusServiceUnavailable,
			throttle.Error{Kind: "instagram_file", Err: fmt.Errorf("writing the delivery: %w", err)})
		delivery.Fail(err)
		return err
	}
	delivery.Accept()
	return next.ServeHTTP(w, r)
}

// store writes the wanted events of a delivery, and returns when they are on disk.
func (h *Handler) store(d *event.Delivery) error {
	wanted := h.wanted(d.Events())
	if len(wanted) == 0 {
		return nil
	}
	text := borrow(&rendered)
	defer giveBack(text, &rendered)
	err := h.write(h.targets(d, wanted, text))
	result := resultWritten
	if err != nil {
		result = resultFailed
	}
	for _, e := range wanted {
		count(result, e.Field)
	}
	return err
}

// target is what goes to one path.
type target struct {
	path    string
	records []record
}

// parallel is how many files are written at the same time for one delivery.
const parallel = 16

func (h *Handler) write(targets []target) error {
	if len(targets) == 1 {
		return h.writeTo(targets[0])
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, t := range targets {
		group.Go(func() error { return h.writeTo(t) })
	}
	return group.Wait()
}

func (h *Handler) writeTo(t target) error {
	sink := h.pool.acquire(t.path, h)
	defer h.pool.release(sink, h.logger)
	return sink.add(t.records)
}

// wanted returns the events with one of the fields, and counts the others.
func (h *Handler) wanted(events []event.Event) []*event.Event {
	wanted := make([]*event.Event, 0, len(events))
	for i := range events {
		if e := &events[i]; event.Selects(h.Fields, e.Field) {
			wanted = append(wanted, e)
		} else {
			count(resultSkipped, e.Field)
		}
	}
	return wanted
}

// targets returns what to write, in order, by path. text holds the records.
func (h *Handler) targets(d *event.Delivery, wanted []*event.Event, text *[]byte) []target {
	if h.Format == formatRaw {
		*text = appendLine(*text, wanted[0], d.Body)
		sum := sha256.New()
		sum.Write(d.Body)
		sum.Write([]byte("\x00" + d.Secret))
		return []target{{h.path.of(wanted[0]), []record{{
			name: "delivery-" + hex.EncodeToString(sum.Sum(nil)[:16]) + ".json",
			data: *text,
		}}}}
	}
	var targets []target
	index := make(map[string]int, 1) // of a path in targets
	for _, e := range wanted {
		start := len(*text)
		*text = render(*text, h.Format, e)
		path := h.path.of(e)
		i, found := index[path]
		if !found {
			i = len(targets)
			index[path] = i
			targets = append(targets, target{path: path})
		}
		targets[i].records = append(targets[i].records, record{name: h.fileName(d, e), data: (*text)[start:len(*text):len(*text)]})
	}
	return targets
}

// fileName returns the name of an event's file, made from its identity and the name
// of the app secret: the event of another app is another one. No identity contains
// the character between the two. An event whose identity is not its own gets a random
// suffix, as in a queue, so that the next one does not replace its file.
func (h *Handler) fileName(d *event.Delivery, e *event.Event) string {
	if h.Layout != layoutFiles {
		return ""
	}
	id, notUnique := e.Identify()
	if notUnique {
		id += "/" + rand.Text()
	}
	sum := sha256.Sum256([]byte(id + "\x00" + d.Secret))
	return safeName(e.Field) + "-" + hex.EncodeToString(sum[:16]) + ".json"
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
