package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// maxName is longer than the name of any field, in bytes, and shorter than an
// access token.
const maxName = 64

// parseFields returns the fields of a flag, sorted and without duplicates.
func parseFields(given []string) ([]string, error) {
	var all []string
	for _, name := range given {
		name = strings.TrimSpace(name)
		if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool {
			return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) {
			// It is not repeated: it may be a secret in the wrong place.
			return nil, errors.New("--fields needs names of letters, digits and underscores, with commas in between")
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// validateFields returns an error that names the fields that Meta would refuse with a
// login, and what to ask for instead. Not all fields of a Page are known, so it only
// notes those that are not.
func validateFields(c *console, login graph.Login, fields []string) error {
	var wrong []string
	for _, name := range fields {
		if problem := login.FieldProblem(name); problem != "" {
			wrong = append(wrong, problem)
		} else if login == graph.FacebookLogin && !slices.Contains(login.Fields(), name) {
			c.note("Note: %s is not among the known fields of a Page, whose nearest are %s. Meta decides.", name, login.NearestFields(name))
		}
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("one field that Meta refuses voids them all:\n  %s\n'caddy instagram fields' lists them all", strings.Join(wrong, "\n  "))
}
