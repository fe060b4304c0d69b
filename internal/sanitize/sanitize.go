// Package sanitize makes text safe to log and to print when others had a hand
// in it: what a server answered, what an error repeats of that, or a name that
// Meta sent.
package sanitize

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// secretMark stands where a secret was.
const secretMark = "[secret]"

// minSecret is the length in bytes of the shortest secret that is looked for.
// Shorter ones would be found in any word.
const minSecret = 4

// Printable returns text with replacement in place of every character that is
// not printable, such as those that control a terminal, and of every byte that
// is not valid UTF-8.
func Printable(text string, replacement rune) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return replacement
		}
		return r
	}, text)
}

// OneLine returns the printable characters of text on one line, with single
// spaces between its words.
func OneLine(text string) string {
	return strings.Join(strings.Fields(Printable(text, ' ')), " ")
}

// Text returns text with "[secret]" in place of each of the secrets, cut off
// after maxLen bytes, and with spaces in place of what is not printable. A secret
// that is part of another one must come after it.
func Text(text string, maxLen int, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, secretMark)
		}
	}
	if len(text) > maxLen {
		text = strings.ToValidUTF8(text[:maxLen], "") + "…"
	}
	return Printable(text, ' ')
}

// Error returns an error that wraps err and whose message is the Text of err's.
// It returns err itself if nothing had to change, and nil if err is nil.
func Error(err error, maxLen int, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := Text(err.Error(), maxLen, secrets...)
	if text == err.Error() {
		return err
	}
	return &sanitizedError{text, err}
}

type sanitizedError struct {
	text string
	err  error
}

func (e *sanitizedError) Error() string { return e.text }

func (e *sanitizedError) Unwrap() error { return e.err }
