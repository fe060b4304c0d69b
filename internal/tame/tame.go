// Package tame makes texts harmless that others had a hand in: what a server
// answered, or what an error repeats of that.
package tame

import (
	"strings"
	"unicode"
)

// hidden stands where a secret was.
const hidden = "[secret]"

// shortest is the length of the shortest secret, in bytes, that is looked for.
// Shorter ones would be found in any word.
const shortest = 4

// Text returns a text without secrets, without what a terminal would obey, and
// cut off after a number of bytes. A secret that is part of another must come
// after that.
func Text(text string, most int, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) >= shortest {
			text = strings.ReplaceAll(text, secret, hidden)
		}
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// Error returns an error with such a text, which wraps err; or nil if that is.
func Error(err error, most int, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := Text(err.Error(), most, secrets...)
	if text == err.Error() {
		return err
	}
	return &tamed{text, err}
}

type tamed struct {
	text string
	err  error
}

func (t *tamed) Error() string { return t.text }

func (t *tamed) Unwrap() error { return t.err }
