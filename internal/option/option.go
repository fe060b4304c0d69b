// Package option parses the options of a directive from a table: one line for each option, with its name, its kind
// and the field that it sets. Argument counts, "given twice" and the lists of options in error messages follow from
// the table.
package option

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Table lists the options of a directive, or of a block inside one. It points to the fields of one module, so each
// module that is parsed needs a table of its own.
type Table struct {
	// Validate, if set, checks the module after each option, so that an error names the line of that option.
	Validate func() error

	owner   string // the directive or block, for error messages
	options []*Option
}

// NewTable returns the table of a directive or a block. Error messages list the options in this order.
func NewTable(owner string, options ...*Option) *Table { return &Table{owner: owner, options: options} }

// Option is one line of a table. There is a function for each kind.
type Option struct {
	name       string
	label      string // the name in error messages, with that of the block around it
	takes      string // the arguments, for error messages
	repeatable bool
	complete   bool // see Complete
	warns      bool // of unknown fields
	given      bool

	// An option with just arguments has set, and one that reads the tokens itself has parse.
	min, max int
	set      func(args []string) error
	parse    func(d *caddyfile.Dispenser) error
	check    func(args []string) error
	then     func() error
}

// Repeatable allows the option to be given several times.
func (o *Option) Repeatable() *Option {
	o.repeatable = true
	return o
}

// Complete refuses a line with an environment variable that is empty, for options that would silently mean
// something else without it.
func (o *Option) Complete() *Option {
	o.complete = true
	return o
}

// SplitAtCommas takes an argument with commas for several.
func (o *Option) SplitAtCommas() *Option {
	set := o.set
	o.set = func(args []string) error { return set(strings.Split(strings.Join(args, ","), ",")) }
	return o
}

// Check has f called with the arguments of the line before the option is parsed.
func (o *Option) Check(f func(args []string) error) *Option {
	o.check = f
	return o
}

// Then has f called after the option was parsed.
func (o *Option) Then(f func() error) *Option {
	o.then = f
	return o
}

// Names lists the options for people to read: "first, max and for".
func (t *Table) Names() string {
	var names []string
	for _, o := range t.options {
		names = append(names, o.name)
	}
	return And(names)
}

// And lists words for people to read.
func And(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// Owner returns the name of the directive or block.
func (t *Table) Owner() string { return t.owner }

// Has reports whether there is an option with this name.
func (t *Table) Has(name string) bool { return t.find(name) != nil }

func (t *Table) find(name string) *Option {
	if i := slices.IndexFunc(t.options, func(o *Option) bool { return o.name == name }); i >= 0 {
		return t.options[i]
	}
	return nil
}

// ParseBlock parses the options in the block that d has come to. Without a block there are none.
func (t *Table) ParseBlock(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := t.Parse(d.NextSegment()); err != nil {
			return err
		}
	}
	return nil
}

// Parse parses one option from its tokens.
func (t *Table) Parse(segment caddyfile.Segment) error {
	d := Dispenser(segment)
	line := LineOf(d)
	o := t.find(d.Val())
	if o == nil {
		return line.Explain(d.WrapErr(t.unknown(d.Val())))
	}
	if o.given && !o.repeatable {
		return d.Errf("%s is given twice", o.label)
	}
	o.given = true
	if err := o.parseFrom(d); err != nil {
		return line.Explain(err)
	}
	d = Dispenser(segment) // the errors that follow are those of the line
	for _, check := range []func() error{o.then, t.Validate} {
		if check == nil {
			continue
		}
		if err := check(); err != nil {
			return line.Explain(d.WrapErr(err))
		}
	}
	if o.complete {
		return line.Complete(d)
	}
	return nil
}

func (o *Option) parseFrom(d *caddyfile.Dispenser) error {
	if ahead := *d; o.check != nil {
		if err := o.check(ahead.RemainingArgs()); err != nil {
			return d.WrapErr(err)
		}
	}
	if o.parse != nil {
		return o.parse(d)
	}
	args := d.RemainingArgs()
	if d.Next() { // a block
		return d.WrapErr(o.usage())
	}
	if err := o.apply(args); err != nil {
		return d.WrapErr(err)
	}
	if o.warns {
		warnOfFields(d, args)
	}
	return nil
}

// Set sets an option that has just arguments, from elsewhere than a Caddyfile.
func (t *Table) Set(name string, args []string) error {
	o := t.find(name)
	if o == nil {
		return t.unknown(name)
	}
	if err := o.apply(args); err != nil || t.Validate == nil {
		return err
	}
	return t.Validate()
}

func (t *Table) unknown(name string) error {
	return fmt.Errorf("unknown option %q of %s: the options are %s", name, t.owner, t.Names())
}

func (o *Option) apply(args []string) error {
	if len(args) < o.min || len(args) > o.max {
		return o.usage()
	}
	return o.set(args)
}

func (o *Option) usage() error { return fmt.Errorf("%s takes %s", o.label, o.takes) }

// Dispenser returns a dispenser that has come to the first token of a segment.
func Dispenser(segment caddyfile.Segment) *caddyfile.Dispenser {
	d := caddyfile.NewDispenser(segment)
	d.Next()
	return d
}
