package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// change is the result of changing what an app gets: the callback of an object, or
// the fields of an account, which are treated as a callback without a URL.
type change struct {
	outcome
	App     string      `json:"app,omitempty"`
	Account string      `json:"account,omitempty"`
	Login   graph.Login `json:"login,omitempty"`
	DryRun  bool        `json:"dry_run,omitempty"`
	Before  state       `json:"before"`
	Wanted  state       `json:"wanted"`
	difference
	Permissions *graph.Permissions `json:"permissions,omitempty"`

	// After is what was read back. It is left out if that failed.
	After *state `json:"after,omitempty"`

	title  string        // of what is printed
	logins []graph.Login // whose permissions are printed
}

// state is a callback or, if it has no object, the fields of an account.
type state struct{ graph.Callback }

// MarshalJSON returns only the fields of an account.
func (s state) MarshalJSON() ([]byte, error) {
	if s.Object == "" {
		return json.Marshal(s.Fields)
	}
	return json.Marshal(s.Callback)
}

// target is what can be changed.
type target interface {
	// read returns the present state, its fields sorted.
	read(context.Context) (graph.Callback, error)

	// write replaces the present state.
	write(ctx context.Context, wanted graph.Callback) error
}

// goal returns the wanted state, given the present one.
type goal func(before graph.Callback) (wanted graph.Callback, err error)

// carryOut shows a change, makes it, and reads back the result.
func (r *change) carryOut(ctx context.Context, c *console, t target, goal goal) (_ result, err error) {
	if r.Before.Callback, err = t.read(ctx); err != nil {
		return nil, err
	}
	if r.Wanted.Callback, err = goal(r.Before.Callback); err != nil {
		return nil, err
	}
	r.difference = compare(r.Before.Fields, r.Wanted.Fields)
	if !c.json {
		r.plan(c)
	}
	switch {
	case r.DryRun:
		return r, nil
	case r.nothing():
		r.After = &r.Before
		return r, nil
	}
	return r, r.confirm(ctx, c, t, t.write(ctx, r.Wanted.Callback))
}

// nothing reports whether there is nothing to do. A callback that is there already is
// set all the same, so that Meta verifies it.
func (r *change) nothing() bool {
	return same(r.Before, r.Wanted) && (r.DryRun || r.Wanted.URL == "")
}

func same(a, b state) bool {
	return a.URL == b.URL && a.Active == b.Active && compare(a.Fields, b.Fields).none()
}

// plan prints the change before it is made.
func (r *change) plan(c *console) {
	c.printf("%s\n", r.title)
	before, wanted := r.Before.URL, r.Wanted.URL
	if before != wanted && before != "" {
		c.printf("%s\n", c.paint(red, "  - "+before))
	}
	if before != wanted && wanted != "" {
		c.printf("%s\n", c.paint(green, "  + "+wanted))
	}
	if before == wanted && wanted != "" {
		c.printf("    %s\n", wanted)
	}
	if r.Wanted.Active && before != "" && !r.Before.Active {
		c.printf("%s\n", c.paint(green, "  + active"))
	}
	r.difference.text(c)
	if len(r.Wanted.Fields) > 0 {
		for _, login := range r.logins {
			printPermissions(c, login, login.Permissions(r.Wanted.Fields))
		}
	} else if r.Account != "" {
		c.printf("Your app is to get nothing of this account.\n")
	}
}

// text prints what became of the change.
func (r *change) text(c *console) {
	switch nothing := r.nothing(); {
	case r.DryRun && nothing:
		c.printf("Nothing would change.\n")
	case r.DryRun:
		c.printf("Nothing was changed: this was --dry-run.\n")
	case nothing:
		c.printf("Nothing to change.\n")
	case r.After == nil:
	case same(*r.After, r.Wanted):
		c.printf("Done, and read back.\n")
	case r.After.URL != "":
		c.printf("Read back: %s, %s\n", r.After.URL, namesText(r.After.Fields))
	default:
		c.printf("Read back: %s\n", namesText(r.After.Fields))
	}
}

// readBackTime is how long reading back may take when the operator has already
// asked to stop.
const readBackTime = 30 * time.Second

// confirm reads back the state after a call that was to change something and ended
// with err, and returns an error unless it is as asked for.
func (r *change) confirm(ctx context.Context, c *console, t target, err error) error {
	if err != nil && !errors.Is(err, graph.ErrUncertain) {
		return refused(err)
	}
	// Even an interrupt must not leave it open what was changed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTime)
	defer cancel()
	found, readErr := t.read(ctx)
	after := state{found}
	if readErr == nil {
		r.After = &after
	}
	switch {
	case readErr != nil && err != nil:
		err = fmt.Errorf("it is not known whether anything was changed: %w; and reading back failed: %w", err, readErr)
	case readErr != nil:
		err = fmt.Errorf("the change succeeded, says Meta, but reading back failed: %w", readErr)
	case err != nil && same(after, r.Before):
		return refused(fmt.Errorf("reading back shows that nothing was changed: %w", err))
	case same(after, r.Wanted):
		if err != nil {
			c.note("It took effect, although the call failed: %s", err)
		}
		return nil
	case err != nil:
		err = fmt.Errorf("what holds now is not what was asked for: %w", err)
	default:
		err = errors.New("the change succeeded, says Meta, but what holds now is not what was asked for")
	}
	return &failure{exitPartial, err}
}

// difference is what a change of fields does.
type difference struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Kept    []string `json:"kept"`
}

func compare(before, after []string) difference {
	d := difference{[]string{}, []string{}, []string{}}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(before, after)))) {
		switch was, is := slices.Contains(before, name), slices.Contains(after, name); {
		case was && is:
			d.Kept = append(d.Kept, name)
		case is:
			d.Added = append(d.Added, name)
		default:
			d.Removed = append(d.Removed, name)
		}
	}
	return d
}

func (d difference) none() bool { return len(d.Added) == 0 && len(d.Removed) == 0 }

func (d difference) text(c *console) {
	for _, name := range d.Added {
		c.printf("%s\n", c.paint(green, "  + "+name))
	}
	for _, name := range d.Removed {
		c.printf("%s\n", c.paint(red, "  - "+name))
	}
	for _, name := range d.Kept {
		c.printf("    %s\n", name)
	}
}

// without returns the fields that are left after some are removed. If none are named,
// all are removed.
func without(before, removed []string) ([]string, error) {
	if len(removed) == 0 {
		return []string{}, nil
	}
	for _, name := range removed {
		if !slices.Contains(before, name) {
			return nil, fmt.Errorf("%s cannot be removed: it is not among the subscribed fields (%s)", name, namesText(before))
		}
	}
	return slices.DeleteFunc(slices.Clone(before), func(name string) bool { return slices.Contains(removed, name) }), nil
}

// printPermissions prints the permissions that fields need with a login.
func printPermissions(c *console, login graph.Login, p graph.Permissions) {
	c.printf("Permissions needed with %s:\n", login.Name())
	var rows [][]string
	row := func(permission, fields string) { rows = append(rows, []string{"  " + permission, "for " + fields}) }
	for _, permission := range p.Basic {
		row(permission, "every field")
	}
	for _, permission := range slices.Sorted(maps.Keys(p.Needed)) {
		row(permission, namesText(p.Needed[permission]))
	}
	if p.Unknown != nil {
		row("not documented", namesText(p.Unknown))
	}
	if p.NotOffered != nil {
		row("not offered", namesText(p.NotOffered)+": no such event will come")
	}
	c.table(rows...)
}
