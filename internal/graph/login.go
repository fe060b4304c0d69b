package graph

import (
	"slices"
	"strings"

	"github.com/caddy-instagram/webhooks/event"
)

// Login is the way in which an account gave an app its rights. It decides which
// host answers, what an account is, and which fields and permissions there are.
type Login string

const (
	// InstagramLogin is the Instagram API with Instagram Login.
	InstagramLogin Login = "instagram"

	// FacebookLogin is the Instagram API with Facebook Login. Its account is
	// the Facebook Page that the Instagram account is linked to, and its fields
	// have the Page's names.
	FacebookLogin Login = "facebook"

	// UnifiedLogin is the Instagram API with Unified Login. Its account is the
	// Instagram professional account, although graph.facebook.com answers. Its
	// tokens are of a system user of the business (Business Integration System
	// User), not of the account.
	UnifiedLogin Login = "unified"
)

// traits are what differs between the logins.
type traits struct {
	login Login
	name  string // as Meta calls it
	host  string

	// basic are the permissions that every field needs.
	basic []string

	// permission is the column of the table of fields for the login.
	permission func(event.Field) string
}

const (
	instagramHost = "graph.instagram.com"
	facebookHost  = "graph.facebook.com"
)

// logins is the one table of the logins, the default first. See Meta's "Instagram
// Platform › Overview" and "› Webhooks".
var logins = []traits{
	{
		InstagramLogin, "Instagram Login", instagramHost,
		[]string{"instagram_business_basic"},
		func(f event.Field) string { return f.InstagramLogin },
	},
	{
		FacebookLogin, "Facebook Login", facebookHost,
		[]string{"instagram_basic", "pages_manage_metadata", "pages_read_engagement", "pages_show_list"},
		func(f event.Field) string { return f.FacebookLogin },
	},
	{
		UnifiedLogin, "Unified Login", facebookHost,
		[]string{"instagram_basic"},
		func(f event.Field) string { return f.UnifiedLogin },
	},
}

// Logins returns all logins, the default first.
func Logins() []Login {
	all := make([]Login, len(logins))
	for i, t := range logins {
		all[i] = t.login
	}
	return all
}

// LoginList returns the names of all logins as flags take them.
func LoginList() string {
	var names []string
	for _, l := range Logins() {
		names = append(names, string(l))
	}
	return strings.Join(names, ", ")
}

func (l Login) known() bool { return l == "" || slices.Contains(Logins(), l) }

// traits returns what is particular to a login: for one that is not known, that
// of the default.
func (l Login) traits() traits {
	i := slices.IndexFunc(logins, func(t traits) bool { return t.login == l })
	return logins[max(i, 0)]
}

// Name returns the login as Meta calls it.
func (l Login) Name() string { return l.traits().name }

// Host returns the host that answers calls with the login.
func (l Login) Host() string { return l.traits().host }

// Basic returns the permissions that every field needs.
func (l Login) Basic() []string { return slices.Clone(l.traits().basic) }

// Permission returns the permission that a field needs besides the basic ones,
// event.NotOffered, or "" if Meta documents none.
func (l Login) Permission(f event.Field) string { return l.traits().permission(f) }

// Field returns the description of the field that has this name with the login,
// if Instagram accounts have it.
func (l Login) Field(name string) (event.Field, bool) {
	if l == FacebookLogin {
		return event.FieldByPage(name)
	}
	return event.FieldByName(name)
}

// Fields returns the names that a subscription can have with the login, as far
// as they are known.
func (l Login) Fields() []string {
	if l == FacebookLogin {
		return event.PageFields()
	}
	var names []string
	for _, f := range event.Fields() {
		// Meta takes all of Instagram's names with Instagram Login, even one
		// whose events it does not offer.
		if !f.Refused && (l != UnifiedLogin || l.Permission(f) != event.NotOffered) {
			names = append(names, f.Name)
		}
	}
	return names
}

// Refreshes reports whether Meta has a call that renews a token of the login.
func (l Login) Refreshes() bool { return l.traits().login == InstagramLogin }

// Debugs reports whether a token of the login can be looked into.
func (l Login) Debugs() bool { return l.Host() == facebookHost }

// Proves reports whether calls with the login are proved with the app secret, if
// there is one (appsecret_proof).
func (l Login) Proves() bool { return l.Host() == facebookHost }

// Permissions are what an app needs to get fields.
type Permissions struct {
	// Basic are those that every field needs.
	Basic []string `json:"basic"`

	// Needed has the fields of each further permission.
	Needed map[string][]string `json:"needed"`

	// NotOffered are the fields that the login does not offer, Unknown those
	// for which Meta documents no permission.
	NotOffered []string `json:"not_offered,omitempty"`
	Unknown    []string `json:"unknown,omitempty"`
}

// Permissions returns what fields need. They have their names with the login, or
// Instagram's own, as an app itself subscribes to them.
func (l Login) Permissions(fields []string) Permissions {
	p := Permissions{Basic: l.Basic(), Needed: map[string][]string{}}
	for _, name := range fields {
		f, known := l.Field(name)
		if !known {
			f, _ = event.FieldByName(name)
		}
		switch permission := l.Permission(f); permission {
		case "":
			p.Unknown = append(p.Unknown, name)
		case event.NotOffered:
			p.NotOffered = append(p.NotOffered, name)
		default:
			p.Needed[permission] = append(p.Needed[permission], name)
		}
	}
	return p
}

// All returns the names of all permissions, sorted.
func (p Permissions) All() []string {
	all := slices.Clone(p.Basic)
	for permission := range p.Needed {
		all = append(all, permission)
	}
	slices.Sort(all)
	return all
}
