package sample

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Style is one of the two ways in which Meta formats its JSON.
type Style int

const (
	// Spaced has a space after commas and colons, as deliveries of changes have.
	Spaced Style = iota

	// Compact has no spaces and writes "/" as "\/", as deliveries of messages do.
	Compact
)

// The values of JSON, whose objects keep the order of their members.
type (
	object []member
	member struct {
		name  string
		value any // object, list, string, int64 or bool
	}
	list []any
)

// render appends the value as Meta writes it: all characters beyond ASCII are escapes
// with lower-case digits.
func (s Style) render(dst []byte, value any) []byte {
	switch v := value.(type) {
	case object:
		dst = append(dst, '{')
		for i, m := range v {
			if i > 0 {
				dst = s.separate(dst, ',')
			}
			dst = s.quote(dst, m.name)
			dst = s.separate(dst, ':')
			dst = s.render(dst, m.value)
		}
		return append(dst, '}')
	case list:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = s.separate(dst, ',')
			}
			dst = s.render(dst, e)
		}
		return append(dst, ']')
	case string:
		return s.quote(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}

func (s Style) separate(dst []byte, by byte) []byte {
	dst = append(dst, by)
	if s == Spaced {
		dst = append(dst, ' ')
	}
	return dst
}

func (s Style) quote(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"', r == '\\', r == '/' && s == Compact:
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case ' ' <= r && r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				dst = append(dst, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
			}
		}
	}
	return append(dst, '"')
}
