// Package placeholder resolves the placeholders of secrets once, when a config is loaded.
package placeholder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Resolve replaces the placeholders in a token, secret or name once, at load.
// Its errors never repeat the value: that may be half of a secret.
func Resolve(value string) (string, error) {
	resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	switch {
	case err != nil && IsSingle(value):
		return "", explain(value, err)
	case err != nil:
		return "", errors.New("a placeholder in it is unknown or resolves to nothing; escape a literal { as \\{")
	case resolved == "":
		return "", errors.New("it is empty")
	case strings.TrimSpace(resolved) != resolved:
		return "", errors.New("it begins or ends with white space")
	}
	return resolved, nil
}

// IsSingle reports whether value is nothing but {env.NAME} or
// {file.PATH}, which may be named in an error.
func IsSingle(value string) bool {
	return (strings.HasPrefix(value, "{env.") || strings.HasPrefix(value, "{file.")) &&
		strings.IndexByte(value, '}') == len(value)-1
}

// explain says why the placeholder of an environment variable or of a file
// resolves to nothing. Caddy takes what it cannot read for empty.
func explain(placeholder string, err error) error {
	name := strings.TrimSuffix(placeholder, "}")
	if variable, found := strings.CutPrefix(name, "{env."); found {
		if _, set := os.LookupEnv(variable); set {
			return fmt.Errorf("%s is empty: the environment variable is set to nothing", placeholder)
		}
		return fmt.Errorf("%s is empty: the environment variable is not set where Caddy starts", placeholder)
	}
	path := strings.TrimPrefix(name, "{file.")
	info, statErr := os.Stat(path)
	switch {
	case errors.Is(statErr, fs.ErrNotExist) && !filepath.IsAbs(path):
		here, _ := os.Getwd()
		return fmt.Errorf("%s cannot be read: %w (in the directory %s)", placeholder, statErr, here)
	case statErr != nil:
		return fmt.Errorf("%s cannot be read: %w", placeholder, statErr)
	case info.IsDir():
		return fmt.Errorf("%s cannot be read: it is a directory", placeholder)
	case !info.Mode().IsRegular():
		return err
	}
	content, readErr := os.ReadFile(path)
	switch {
	case readErr != nil:
		return fmt.Errorf("%s cannot be read: %w", placeholder, readErr)
	case len(content) == 0:
		return fmt.Errorf("%s is empty: there is nothing in the file", placeholder)
	}
	return fmt.Errorf("%s is empty: there is nothing but a line break in the file", placeholder)
}
