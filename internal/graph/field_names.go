package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/suggest"
)

// fieldProblem says what is wrong with the name of a field of Instagram's, or returns "".
func fieldProblem(name string) string {
	f, known := event.FieldByName(name)
	switch {
	case !known:
		return fmt.Sprintf("%s is not a field of Instagram's webhooks; the nearest are %s", name, InstagramLogin.NearestFields(name))
	case f.Refused:
		return fmt.Sprintf("%s is refused by Meta, although documented (%s); the nearest are %s", name, f.About, InstagramLogin.NearestFields(name))
	}
	return ""
}

// NearestFields returns the two fields of the login whose names are most like a name.
func (l Login) NearestFields(name string) string {
	return strings.Join(suggest.Nearest(strings.ToLower(name), l.Fields(), 2), " and ")
}

// FieldProblem says why Meta would refuse a field with the login, and what to do, or
// returns "".
func (l Login) FieldProblem(name string) string {
	ofInstagram, isInstagram := event.FieldByName(name)
	ofPage, isPage := event.FieldByPage(name)
	offered := slices.Contains(l.Fields(), name)
	switch {
	case offered:
		return ""
	case l == FacebookLogin && !isInstagram:
		return "" // a field of the Page, perhaps
	case l == FacebookLogin && ofInstagram.Page == "":
		return fmt.Sprintf("%s is a field of Instagram, and a Page has none like it: subscribe the app to it (in the "+
			"App Dashboard, or by 'caddy instagram callback set'), and the Page to any field of its own, such as feed", name)
	case l == FacebookLogin:
		return fmt.Sprintf("%s is Instagram's name; with %s the Page's field is %s", name, l.Name(), ofInstagram.Page)
	case isPage && !isInstagram && slices.Contains(l.Fields(), ofPage.Name):
		return fmt.Sprintf("%s is the name of a Page's field, with %s; with %s it is %s", name, FacebookLogin.Name(), l.Name(), ofPage.Name)
	case !isInstagram && slices.Contains(event.PageFields(), name):
		return fmt.Sprintf("%s is a field of a Page (--login %s); the nearest with %s are %s", name, FacebookLogin, l.Name(), l.NearestFields(name))
	case isInstagram && !ofInstagram.Refused: // with Unified Login
		return fmt.Sprintf("%s is not offered with %s, whose fields are %s", name, l.Name(), strings.Join(l.Fields(), ", "))
	case l == UnifiedLogin:
		return fmt.Sprintf("%s is not a field of %s; the nearest are %s", name, l.Name(), l.NearestFields(name))
	}
	return fieldProblem(name)
}
