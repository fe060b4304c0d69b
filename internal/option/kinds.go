package option

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// Args is an option with min to max arguments. takes describes them: "an optional name and a secret".
func Args(name, takes string, min, max int, set func(args []string) error) *Option {
	return &Option{name: name, label: name, takes: takes, min: min, max: max, set: set}
}

// Func is an option with one argument that set takes. what describes it: "a path".
func Func(name, what string, set func(arg string) error) *Option {
	return Args(name, "one argument: "+what, 1, 1, func(args []string) error { return set(args[0]) })
}

// one is an option with one argument. set reports whether it is what it has to be.
func one(name, what string, set func(arg string) bool) *Option {
	return some(Args(name, "one argument: "+what, 1, 1, nil), what, set)
}

// some lets set take each argument.
func some(o *Option, what string, set func(arg string) bool) *Option {
	o.set = func(args []string) error {
		for _, arg := range args {
			if !set(arg) {
				return fmt.Errorf("%s %q is not %s", o.label, arg, what)
			}
		}
		return nil
	}
	return o
}

// list is an option with at least one argument, which can be given several times.
func list(name, what string) *Option {
	return Args(name, "at least one "+what, 1, math.MaxInt, nil).Repeatable()
}

// Word is an option with one word. what names the values that there are.
func Word(name, what string, field *string) *Option {
	return one(name, what, func(arg string) bool {
		*field = arg
		return true
	})
}

// Words is an option with a list of words. what describes one of them: "field such as comments".
func Words(name, what string, field *[]string) *Option {
	return some(list(name, what), what, func(arg string) bool {
		*field = append(*field, arg)
		return true
	})
}

// Numbers is an option with a list of numbers. what describes one of them: "status such as 409".
func Numbers(name, what string, field *[]int) *Option {
	return some(list(name, what), "a "+what, func(arg string) bool {
		number, err := strconv.Atoi(arg)
		*field = append(*field, number)
		return err == nil
	})
}

// Number is an option with a number above 0.
func Number(name, example string, field *int) *Option {
	return one(name, "a number above 0, such as "+example, func(arg string) bool {
		number, err := strconv.Atoi(arg)
		*field = number
		return err == nil && number > 0
	})
}

// Text is an option with one argument in a form of its own, whose errors say what is wrong.
func Text(name, what string, field encoding.TextUnmarshaler) *Option {
	return Func(name, what, func(arg string) error { return field.UnmarshalText([]byte(arg)) })
}

// Flag is an option without an argument.
func Flag(name string, field *bool) *Option {
	return Args(name, "no argument", 0, 0, func([]string) error {
		*field = true
		return nil
	})
}

// Bool is an option that is true unless its argument is false. It can be given several times.
func Bool(name string, field **bool) *Option {
	o := Args(name, "true or false", 0, 1, nil)
	o.set = func(args []string) error {
		value, err := strconv.ParseBool(append(args, "true")[0])
		if err != nil {
			return o.usage()
		}
		*field = &value
		return nil
	}
	return o.Repeatable()
}

// Decimal is an option with a number above 0 that may be a fraction.
func Decimal(name, example string, field *float64) *Option {
	return one(name, "a number above 0, such as "+example, func(arg string) bool {
		number, err := strconv.ParseFloat(arg, 64)
		*field = number
		return err == nil && number > 0 && !math.IsInf(number, 1)
	})
}

// OnOff is an option that is on or off.
func OnOff(name string, field **bool) *Option {
	return one(name, "on or off", func(arg string) bool {
		*field = new(arg == "on")
		return arg == "on" || arg == "off"
	})
}

// Duration is an option with a duration above 0.
func Duration(name, example string, field *caddy.Duration) *Option {
	return one(name, "a duration such as "+example, func(arg string) bool { return parseDuration(arg, field) })
}

// DurationOr is an option with a duration, or with a word for none.
func DurationOr(name, example, none string, field **caddy.Duration) *Option {
	return one(name, "a duration such as "+example+", or "+none, func(arg string) bool {
		*field = new(caddy.Duration)
		return arg == none || parseDuration(arg, *field)
	})
}

func parseDuration(arg string, field *caddy.Duration) bool {
	duration, err := caddy.ParseDuration(arg)
	*field = caddy.Duration(duration)
	return err == nil && duration > 0
}

// Size is an option with a size in bytes above 0.
func Size(name, example string, field *int64) *Option {
	return one(name, "a size above 0, such as "+example, func(arg string) bool {
		size, err := ParseSize(arg)
		*field = size
		return err == nil && size > 0
	})
}

// SizeOrZero is an option with a size in bytes whose default is another than 0.
func SizeOrZero(name, example string, field **int64) *Option {
	return one(name, "a size such as "+example, func(arg string) bool {
		size, err := ParseSize(arg)
		*field = &size
		return err == nil
	})
}

// ParseSize parses a size such as 8MiB.
func ParseSize(arg string) (int64, error) {
	size, err := humanize.ParseBytes(arg)
	if err == nil && size > math.MaxInt64 {
		err = errors.New("the size is too large")
	}
	return int64(size), err
}

// Module is an option with the name of a module in a namespace and what that module takes. what describes it: "the
// name of a store, such as sqlite". Its config goes to raw, with the name under key.
func Module(name, what, namespace, key string, raw *json.RawMessage) *Option {
	return Custom(name, func(d *caddyfile.Dispenser) error {
		if !d.NextArg() {
			return d.Errf("%s takes %s", name, what)
		}
		id := d.Val()
		module, err := caddyfile.UnmarshalModule(d, namespace+"."+id)
		if err == nil {
			*raw = caddyconfig.JSONModuleObject(module, key, id, nil)
		}
		return err
	})
}

// Block is an option with a block of options.
func Block(name string, options ...*Option) *Option {
	t := nested(name, options)
	return Custom(name, func(d *caddyfile.Dispenser) error {
		if d.NextArg() {
			return d.Errf("%s takes no argument, but a block with %s", name, t.Names())
		}
		return t.ParseBlock(d)
	})
}

// Pairs is an option whose arguments are options with one argument each, on the same line.
func Pairs(name string, options ...*Option) *Option {
	t := nested(name, options)
	return Custom(name, func(d *caddyfile.Dispenser) error {
		tokens := d.RemainingArgsAsTokens()
		if len(tokens) == 0 || d.Next() {
			return d.Errf("%s takes at least one of %s, each with its value", name, t.Names())
		}
		for pair := range slices.Chunk(tokens, 2) {
			if err := t.Parse(pair); err != nil {
				return err
			}
		}
		return nil
	})
}

// nested returns the table of options inside another.
func nested(name string, options []*Option) *Table {
	for _, o := range options {
		o.label = name + " " + o.label
	}
	return NewTable(name, options...)
}

// Custom is an option that reads its tokens itself, from a dispenser that has come to its name.
func Custom(name string, parse func(d *caddyfile.Dispenser) error) *Option {
	return &Option{name: name, label: name, parse: parse}
}

// OneOf returns an error for a value that is none of these. An empty one is the default.
func OneOf(name, value string, values ...string) error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return fmt.Errorf("%s %q is none of %s", name, value, And(values))
}
