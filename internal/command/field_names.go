package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/suggest"
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

// fieldProblem says what is wrong with the name of a field, or returns "".
func fieldProblem(name string) string {
	f, known := event.FieldByName(name)
	switch {
	case !known:
		return fmt.Sprintf("%s is not a field of Instagram's webhooks; the nearest are %s", name, nearest(graph.InstagramLogin, name))
	case f.Refused:
		return fmt.Sprintf("%s is refused by Meta, although documented (%s); the nearest are %s", name, f.About, nearest(graph.InstagramLogin, name))
	}
	return ""
}

// nearest returns the two fields of a login whose names are most like a name.
func nearest(login graph.Login, name string) string {
	return strings.Join(suggest.Nearest(strings.ToLower(name), login.Fields(), 2), " and ")
}

// validateFields returns an error that names the fields that Meta would refuse with a
// login, and what to ask for instead. Not all fields of a Page are known, so it only
// notes those that are not.
func validateFields(c *console, login graph.Login, fields []string) error {
	var wrong []string
	for _, name := range fields {
		if problem := loginProblem(login, name); problem != "" {
			wrong = append(wrong, problem)
		} else if login == graph.FacebookLogin && !slices.Contains(login.Fields(), name) {
			c.note("Note: %s is not among the known fields of a Page, whose nearest are %s. Meta decides.", name, nearest(login, name))
		}
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("one field that Meta refuses voids them all:\n  %s\n'caddy instagram fields' lists them all", strings.Join(wrong, "\n  "))
}

// loginProblem says why Meta would refuse a field with a login, and what to do, or
// returns "".
func loginProblem(login graph.Login, name string) string {
	ofInstagram, isInstagram := event.FieldByName(name)
	ofPage, isPage := event.FieldByPage(name)
	offered := slices.Contains(login.Fields(), name)
	switch {
	case offered:
		return ""
	case login == graph.FacebookLogin && !isInstagram:
		return "" // a field of the Page, perhaps
	case login == graph.FacebookLogin && ofInstagram.Page == "":
		return fmt.Sprintf("%s is a field of Instagram, and a Page has none like it: subscribe the app to it (in the "+
			"App Dashboard, or by 'caddy instagram callback set'), and the Page to any field of its own, such as feed", name)
	case login == graph.FacebookLogin:
		return fmt.Sprintf("%s is Instagram's name; with %s the Page's field is %s", name, login.Name(), ofInstagram.Page)
	case isPage && !isInstagram && slices.Contains(login.Fields(), ofPage.Name):
		return fmt.Sprintf("%s is the name of a Page's field, with %s; with %s it is %s", name, graph.FacebookLogin.Name(), login.Name(), ofPage.Name)
	case !isInstagram && slices.Contains(event.PageFields(), name):
		return fmt.Sprintf("%s is a field of a Page (--login %s); the nearest with %s are %s", name, graph.FacebookLogin, login.Name(), nearest(login, name))
	case isInstagram && !ofInstagram.Refused: // with Unified Login
		return fmt.Sprintf("%s is not offered with %s, whose fields are %s", name, login.Name(), strings.Join(login.Fields(), ", "))
	case login == graph.UnifiedLogin:
		return fmt.Sprintf("%s is not a field of %s; the nearest are %s", name, login.Name(), nearest(login, name))
	}
	return fieldProblem(name)
}
