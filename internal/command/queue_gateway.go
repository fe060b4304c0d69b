package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// gateway is a running Caddy, as the flags tell where it is.
type gateway struct {
	address, config, adapter string
	store                    string

	found string // the address, once it was asked for
}

// register adds the flags to a command and its sub-commands.
func (g *gateway) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&g.address, "address", "", "Other `address` of the administration listener than that of the config")
	flags.StringVarP(&g.config, "config", "c", "", "Configuration `file` to find the address in")
	flags.StringVarP(&g.adapter, "adapter", "a", "", "Config adapter to apply, by `name`")
	flags.StringVar(&g.store, "store", "", "Store to work on, by `name`, if several are open")
}

// maxAnswer bounds an answer, in bytes. The admin API bounds its lists itself.
const maxAnswer = 256 << 20

// look gets what is at a path of the queue's admin API, and decodes it into
// found. Nothing changes, whatever the method.
func (g *gateway) look(ctx context.Context, method, path string, query url.Values, found any) error {
	_, err := g.call(ctx, method, path, query, found)
	return err
}

// change is look for what changes something. After an error it may be unknown
// what has changed.
func (g *gateway) change(ctx context.Context, method, path string, query url.Values, found any) error {
	unchanged, err := g.call(ctx, method, path, query, found)
	if err != nil && !unchanged {
		return &failure{exitUnsure, fmt.Errorf("it is not known what was done; see 'status': %w", err)}
	}
	return err
}

// call asks the admin API. Of an error it reports whether it came before
// anything could have been changed.
func (g *gateway) call(ctx context.Context, method, path string, query url.Values, found any) (unchanged bool, err error) {
	address, err := g.find()
	if err != nil {
		return true, fmt.Errorf("finding the admin API: %w", err)
	}
	if query == nil {
		query = url.Values{}
	}
	if g.store != "" {
		query.Set("store", g.store)
	}
	uri := "/instagram/queue" + path + "?" + query.Encode()
	text, err := await(ctx, func() ([]byte, error) {
		// Caddy's client uses no connection twice, and would keep each open.
		header := http.Header{"Connection": {"close"}}
		resp, err := caddycmd.AdminAPIRequest(address, method, uri, header, nil)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		if err == nil && len(text) > maxAnswer {
			err = errors.New("the answer is too long")
		}
		return text, err
	})
	if err != nil {
		return understand(address, err)
	}
	if found != nil {
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(found); err != nil {
			return false, &failure{exitRefused, fmt.Errorf("the answer of %s cannot be understood: %w", address, err)}
		}
	}
	return true, nil
}

// find returns the address of the admin API. Caddy says so each time that it
// reads the config.
func (g *gateway) find() (_ string, err error) {
	if g.found != "" {
		return g.found, nil
	}
	var config []byte
	if g.address == "" && g.config != "" {
		if config, _, _, err = caddycmd.LoadConfig(g.config, g.adapter); err != nil {
			return "", err
		}
		if withoutAdmin(config) {
			return "", &failure{exitRefused, fmt.Errorf("%w in %s: nobody can ask this Caddy about its queues. Give it an endpoint, such as "+
				"'admin unix//run/caddy/admin.sock', or stop it: then 'status', 'list', 'show', 'export', 'check' and 'compact' "+
				"work on the file of a queue, with --file", errAdminOff, g.config)}
		}
	}
	g.found, err = caddycmd.DetermineAdminAPIAddress(g.address, config, g.config, g.adapter)
	return g.found, err
}

// withoutAdmin reports whether a config turns the admin endpoint off.
func withoutAdmin(config []byte) bool {
	var parsed struct {
		Admin struct {
			Disabled bool `json:"disabled"`
		} `json:"admin"`
	}
	return json.Unmarshal(config, &parsed) == nil && parsed.Admin.Disabled
}

// understand takes an error of Caddy's client apart, which has only its text.
func understand(address string, err error) (unchanged bool, _ error) {
	if answer, answered := strings.CutPrefix(err.Error(), "caddy responded with error: HTTP "); answered {
		digits, body, _ := strings.Cut(answer, ": ")
		status, _ := strconv.Atoi(digits)
		var said struct {
			Error string `json:"error"`
		}
		switch json.Unmarshal([]byte(body), &said); {
		case said.Error != "":
			err = errors.New(said.Error)
		case status == http.StatusNotFound:
			err = fmt.Errorf("the Caddy at %s does not know this request: it has no instagram plugin, or an older one", address)
		}
		if status == http.StatusBadRequest {
			// The parameters have the names of the flags.
			return true, errors.New(strings.ReplaceAll(err.Error(), "the parameter ", "--"))
		}
		return status < http.StatusInternalServerError, &failure{exitRefused, err}
	}
	switch text := err.Error(); {
	case strings.HasPrefix(text, "invalid admin address "), strings.HasPrefix(text, "making request: "):
		return true, err
	case strings.Contains(text, ": dial "):
		return true, &failure{exitRefused, fmt.Errorf("%w at %s; is it running, and not with 'admin off'? (%w)", errUnreachable, address, err)}
	}
	return false, &failure{exitRefused, err}
}

// Errors of all requests alike.
var (
	errUnreachable = errors.New("no Caddy answers")
	errAdminOff    = errors.New("the admin endpoint is turned off ('admin off')")
)

// await returns what do returns, or an error once ctx is done. There is nothing
// to wait for then: the process is about to end.
func await[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, &failure{exitRefused, errors.New("interrupted")}
	}
}
