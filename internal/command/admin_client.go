package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/admin"
	"github.com/caddy-instagram/webhooks/internal/inprocess"
	"github.com/caddy-instagram/webhooks/internal/queue/sqlite"
)

// adminClient asks the queue's admin API: that of a running Caddy or, with --file,
// one of its own for the file of a stopped server.
type adminClient struct {
	address, config, adapter string
	store, file, consumer    string

	send   func(ctx context.Context, method, uri string, body io.Reader) (*inprocess.Response, error) // nil: not connected
	at     string                                                                                     // whom it asks
	opened *sqlite.Store
	api    http.Handler // of the file; nil: that of a running Caddy is asked
	info   os.FileInfo  // of the file, before anything was done
}

// command returns a sub-command that asks the admin API.
func (a *adminClient) command(use, short, long, example string, maxArgs int, do action) *cobra.Command {
	closing := func(ctx context.Context, c *console, args []string) (result, error) {
		found, err := do(ctx, c, args)
		if ctx.Err() == nil && a.opened != nil { // else the file may be in use until the process ends
			err = errors.Join(err, withStatus(exitRefused, a.opened.Close()))
		}
		return found, err
	}
	return newCommand(use, short, long, example, maxArgs, closing)
}

// change asks for what changes something. After an error it may be unknown what
// has changed.
func (a *adminClient) change(ctx context.Context, method, path string, query url.Values, found any) error {
	err := a.read(ctx, method, path, query, found)
	if _, is := errors.AsType[uncertain](err); is {
		return &failure{exitPartial, fmt.Errorf("it is not known what was done; see 'status': %w", err)}
	}
	return err
}

// events reads the events that a query selects, page by page, until there are no
// more. The query can be changed between the pages.
func (a *adminClient) events(ctx context.Context, query url.Values) iter.Seq2[[]*admin.Event, error] {
	cursor := "before"
	if query.Get("order") == "oldest" {
		cursor = "after"
	}
	return func(yield func([]*admin.Event, error) bool) {
		for {
			var page []*admin.Event
			err := a.read(ctx, http.MethodGet, "/events", query, &page)
			if err == nil && len(page) == 0 || !yield(page, err) || err != nil {
				return
			}
			query.Set(cursor, strconv.FormatUint(page[len(page)-1].ID, 10))
		}
	}
}

// distinct returns a page of events with each of them once, however many consumers have
// it.
func distinct(page []*admin.Event) []*admin.Event {
	return slices.CompactFunc(slices.Clone(page), func(a, b *admin.Event) bool { return a.ID == b.ID })
}

// uncertain is an error after which something may have been changed.
type uncertain struct{ error }

// read asks for what changes nothing, whatever the method, and decodes the answer
// into found.
func (a *adminClient) read(ctx context.Context, method, path string, query url.Values, found any) error {
	if query == nil {
		query = url.Values{}
	}
	for name, value := range map[string]string{"store": a.store, "consumer": a.consumer, "by": a.by(path, query)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return a.call(ctx, method, "/instagram/queue"+path+"?"+query.Encode(), nil, found)
}

// call asks for anything of the plugin's.
func (a *adminClient) call(ctx context.Context, method, uri string, body io.Reader, found any) error {
	if err := a.connect(); err != nil {
		return err
	}
	var resp *inprocess.Response
	err := await(ctx, func() (err error) {
		resp, err = a.send(ctx, method, uri, body)
		return err
	})
	if err != nil {
		return a.unanswered(err)
	}
	if resp.Status >= http.StatusBadRequest {
		return a.rejected(resp)
	}
	if found != nil {
		if err := json.NewDecoder(&resp.Body).Decode(found); err != nil {
			return refused(uncertain{fmt.Errorf("the answer of %s cannot be understood: %w", a.at, err)})
		}
	}
	return nil
}

// by returns who is asking, for the audit log of a running Caddy, or "" for a request that it
// does not tell of.
func (a *adminClient) by(path string, query url.Values) string {
	audited := query.Has("bodies") || !strings.HasSuffix(path, "/retry") && path != "" && path != "/events"
	if a.file != "" || !audited {
		return ""
	}
	current, err := user.Current()
	if err != nil {
		return ""
	}
	return current.Username
}

// connect finds out whom to ask.
func (a *adminClient) connect() (err error) {
	switch {
	case a.send != nil:
		return nil
	case a.file != "" && (a.address != "" || a.config != "" || a.store != ""):
		return errors.New("--file is for a stopped server: leave out --address, --config and --store")
	case a.file != "":
		a.at = a.file
		return withStatus(exitRefused, a.open())
	}
	if a.at, err = a.find(); err != nil {
		return fmt.Errorf("finding the admin API: %w", err)
	}
	a.send = a.ask
	return nil
}

// errEmpty is wrapped by the error for a file of no bytes, of which the queue would
// make a new one.
var errEmpty = errors.New("it is empty")

// open opens the file, which must be there. The queue would make a new one.
func (a *adminClient) open() (err error) {
	a.info, err = os.Stat(a.file)
	switch {
	case err != nil:
		return err
	case !a.info.Mode().IsRegular():
		return fmt.Errorf("%s is not the file of a queue", a.file)
	case a.info.Size() == 0:
		return fmt.Errorf("the file %s is no queue, or is damaged: %w", a.file, errEmpty)
	}
	store, err := sqlite.Open(a.file, zap.NewNop)
	if err != nil {
		if errors.Is(err, sqlite.ErrLocked) {
			err = fmt.Errorf("%w; leave out --file to ask a Caddy that is running", err)
		}
		return err
	}
	a.opened = store
	a.api = (&admin.API{Stores: func() []admin.Store { return []admin.Store{{Store: store, Name: a.file}} }, Audit: zap.NewNop()}).Handler()
	a.send = func(ctx context.Context, method, uri string, body io.Reader) (*inprocess.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, uri, body)
		if err != nil {
			return nil, err
		}
		return inprocess.Ask(a.api, req), nil
	}
	return nil
}

// find returns the address of the admin API. Caddy says so each time that it
// reads the config.
func (a *adminClient) find() (_ string, err error) {
	var config []byte
	if a.address == "" && a.config != "" {
		if config, _, _, err = caddycmd.LoadConfig(a.config, a.adapter); err != nil {
			return "", err
		}
		var parsed struct {
			Admin struct {
				Disabled bool `json:"disabled"`
			} `json:"admin"`
		}
		if json.Unmarshal(config, &parsed) == nil && parsed.Admin.Disabled {
			return "", &failure{exitRefused, fmt.Errorf("the admin endpoint is turned off ('admin off') in %s: nobody can ask "+
				"this Caddy about its queues. Give it an endpoint, such as 'admin unix//run/caddy/admin.sock', or stop it: "+
				"then %s work on the file of a queue, with --file", a.config, onFiles)}
		}
	}
	return caddycmd.DetermineAdminAPIAddress(a.address, config, a.config, a.adapter)
}

// ask asks a running Caddy. Of an answer that tells an error, Caddy's client has
// only a text.
func (a *adminClient) ask(_ context.Context, method, uri string, body io.Reader) (*inprocess.Response, error) {
	// Caddy's client uses no connection twice, and would keep each open.
	header := http.Header{"Connection": {"close"}}
	if path, parameters, _ := strings.Cut(uri, "?"); strings.HasSuffix(path, "/forget") {
		// Caddy logs the URI of a request, but not its body.
		uri, body = path, strings.NewReader(parameters)
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := caddycmd.AdminAPIRequest(a.at, method, uri, header, body)
	if err != nil {
		if r := answered(err); r != nil {
			return r, nil
		}
		return nil, err
	}
	defer resp.Body.Close()
	r := new(inprocess.Response)
	_, err = io.Copy(&r.Body, resp.Body)
	return r, err
}

// answered returns the answer that an error of Caddy's client stands for, or nil.
func answered(err error) *inprocess.Response {
	text, is := strings.CutPrefix(err.Error(), "caddy responded with error: HTTP ")
	if !is {
		return nil
	}
	r := new(inprocess.Response)
	status, body, _ := strings.Cut(text, ": ")
	r.Status, _ = strconv.Atoi(status)
	r.Body.WriteString(body)
	return r
}

// rejection is what the admin API says when it refuses a request.
type rejection struct{ error }

// rejected returns the error of an answer that tells one.
func (a *adminClient) rejected(resp *inprocess.Response) error {
	err := fmt.Errorf("the Caddy at %s answered with status %d: %s", a.at, resp.Status, &resp.Body)
	var said struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(resp.Body.Bytes(), &said) // an answer of somebody else may be anything
	switch {
	case said.Error != "":
		err = errors.New(said.Error)
	case resp.Status == http.StatusNotFound:
		err = fmt.Errorf("the Caddy at %s does not know this request: it has no instagram plugin, or an older one", a.at)
	}
	switch {
	case resp.Status == http.StatusBadRequest:
		// The parameters have the names of the flags.
		return errors.New(strings.ReplaceAll(err.Error(), "the parameter ", "--"))
	case resp.Status >= http.StatusInternalServerError && resp.Status != http.StatusNotImplemented:
		return refused(uncertain{err})
	}
	return refused(rejection{err})
}

// unanswered gives an error that came in place of an answer its exit code.
func (a *adminClient) unanswered(err error) error {
	switch text := err.Error(); {
	case strings.HasPrefix(text, "invalid admin address "), strings.HasPrefix(text, "making request: "):
		return err
	case strings.Contains(text, ": dial "):
		return refused(fmt.Errorf("no Caddy answers at %s; is it running, and not with 'admin off'? (%w)", a.at, err))
	}
	return refused(uncertain{err})
}

// errInterrupted is for work that goes on while the process is about to end.
var errInterrupted = &failure{exitRefused, errors.New("interrupted")}

// await returns what do returns, or an error once ctx is done.
func await(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errInterrupted
	}
}
