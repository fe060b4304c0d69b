package handler

import (
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// resolve replaces the placeholders in a token, secret or name once, at load.
// Its errors never repeat the value: that may be half of a secret.
func resolve(value string) (string, error) {
	resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	switch {
	case err != nil && isSinglePlaceholder(value):
		return "", err
	case err != nil:
		return "", errors.New("a placeholder in it is unknown or resolves to nothing; escape a literal { as \\{")
	case resolved == "":
		return "", errors.New("it is empty")
	case strings.TrimSpace(resolved) != resolved:
		return "", errors.New("it begins or ends with white space")
	}
	return resolved, nil
}

// isSinglePlaceholder reports whether value is nothing but {env.NAME} or
// {file.PATH}, which may be named in an error.
func isSinglePlaceholder(value string) bool {
	return (strings.HasPrefix(value, "{env.") || strings.HasPrefix(value, "{file.")) &&
		strings.IndexByte(value, '}') == len(value)-1
}
