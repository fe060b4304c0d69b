// Package secretcheck looks for what happens to secrets on their way from Meta's
// App Dashboard into a config. It never repeats any part of one.
package secretcheck

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// length is how many hexadecimal digits an app secret has. See the App
// Dashboard, "App settings › Basic".
const length = 32

// Describe returns in words why a value cannot be an app secret of Meta's, which
// is 32 lower-case hexadecimal digits, or "" if it may be one. What it says never
// holds any part of the value.
func Describe(secret string) (problem string) {
	if problem := Mangled(secret); problem != "" {
		return problem
	}
	switch digits := len(secret); {
	case lowerHex.MatchString(secret) && digits == length:
		return ""
	case decimal.MatchString(secret) && digits >= 15 && digits <= 17:
		return "it is an app id: 15 to 17 decimal digits. The app secret stands beside it in the App Dashboard"
	case lowerHex.MatchString(strings.ToLower(secret)) && digits == length:
		return "it has upper-case letters: Meta's has lower-case ones, and they count"
	case lowerHex.MatchString(strings.ToLower(secret)):
		return fmt.Sprintf("it has %d hexadecimal digits, not %d: copy it as a whole, and nothing else", digits, length)
	case framed.MatchString(secret):
		return "other text stands before or after the 32 hexadecimal digits: keep only these"
	case accessToken.MatchString(secret):
		return "it looks like an access token: the app secret is another value"
	case unresolved.MatchString(secret):
		return "it looks like the name of a variable that was not replaced: in a Caddyfile that is {env.NAME}"
	case strings.ContainsFunc(secret, unicode.IsSpace):
		return "there is white space in it"
	}
	return "it holds other characters than hexadecimal digits"
}

// Mangled returns in words what happened to a secret or a token on its way into
// the config, or "" if nothing seems to have. What it says never holds any part of
// the value.
func Mangled(value string) (problem string) {
	switch {
	case strings.HasPrefix(value, "\uFEFF"):
		return "it begins with a byte order mark (BOM): save it as UTF-8 without one"
	case strings.HasPrefix(value, "\xFF\xFE"), strings.HasPrefix(value, "\xFE\xFF"), strings.Contains(value, "\x00"):
		return "it is UTF-16 text: save it as UTF-8"
	case value != "" && strings.Trim(value, "•●∙·*.…") == "":
		return "it is the dots of a masked field: press \"Show\" in the App Dashboard before you copy it"
	case quoted(value):
		return "it has quotes around it, which are kept by 'docker run --env-file' for example: remove them"
	case strings.ContainsFunc(value, invisible) || !utf8.ValidString(value):
		return "there are invisible characters in it: type it, or copy it without formatting"
	}
	return ""
}

var (
	lowerHex    = regexp.MustCompile(`^[0-9a-f]+$`)
	decimal     = regexp.MustCompile(`^[0-9]+$`)
	framed      = regexp.MustCompile(`(^|[^0-9A-Za-z])[0-9a-f]{32}([^0-9A-Za-z]|$)`)
	accessToken = regexp.MustCompile(`^(EAA|IG)[0-9A-Za-z_-]{40,}$`)
	unresolved  = regexp.MustCompile(`^(\$\w+|[$%]?\{+[\w.$ ]+\}+|%\w+%|<.*>)$`)
)

// quotes opens and closes quoted text, as shells and word processors write it.
var quotes = map[rune]string{
	'"': `"`, '\'': "'", '`': "`", '“': "”", '„': "“”", '‘': "’", '«': "»",
}

// quoted reports whether there is a quote at the beginning or at the end.
func quoted(value string) bool {
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	for open, closers := range quotes {
		if first == open || last != utf8.RuneError && strings.ContainsRune(closers, last) {
			return true
		}
	}
	return false
}

// invisible reports whether nothing is to be seen of a character.
func invisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
}
