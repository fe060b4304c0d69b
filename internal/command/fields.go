package command

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/event"
	"github.com/caddy-instagram/webhooks/internal/graph"
)

func fieldsCommand() *cobra.Command {
	return newCommand("fields", "List the fields of Instagram's webhooks", `
Lists the fields of Instagram's webhooks: the family that their events belong
to, the name that a Facebook Page has for them, which --login facebook needs, the
permission that each login needs besides those for every field, and what makes up
an event's identity. "-" stands where a Page has no such field, and where Meta
documents no permission. Fields that Meta documents but refuses stand last.

Exit codes:
  0  done
  1  wrong usage
`+outputCode, `  $ caddy instagram fields
  $ caddy instagram fields --json`, 0, listFields)
}

// fieldTable is the result of fields.
type fieldTable struct {
	outcome
	Fields []field `json:"fields"`
	Logins []login `json:"logins"`
}

func listFields(context.Context, *console, []string) (result, error) {
	r := new(fieldTable)
	for _, l := range graph.Logins() {
		r.Logins = append(r.Logins, login{l, l.Name(), l.Host(), l.Basic()})
	}
	for _, f := range event.Fields() {
		r.Fields = append(r.Fields, field{
			f.Name, f.Page, family(f.Kind), f.About, f.InstagramLogin, f.FacebookLogin, f.UnifiedLogin, f.Identity, f.Common, f.Refused,
		})
	}
	return r, nil
}

type field struct {
	Name           string `json:"name"`
	Page           string `json:"page_name,omitempty"`
	Family         string `json:"family"`
	About          string `json:"about"`
	InstagramLogin string `json:"instagram_login,omitempty"`
	FacebookLogin  string `json:"facebook_login,omitempty"`
	UnifiedLogin   string `json:"unified_login,omitempty"`
	Identity       string `json:"identity"`
	Common         bool   `json:"common,omitempty"`
	Refused        bool   `json:"refused,omitempty"`
}

// login has the permissions that every field needs with a login.
type login struct {
	Login graph.Login `json:"login"`
	Name  string      `json:"name"`
	Host  string      `json:"host"`
	Basic []string    `json:"permissions"`
}

// family returns the key of a delivery under which events of a kind stand.
func family(kind event.Kind) string {
	switch kind {
	case event.Message:
		return "messaging"
	case event.Standby:
		return "standby"
	default:
		return "changes"
	}
}

func (t *fieldTable) text(c *console) {
	const refused = "refused by Meta"
	heading := []string{"FIELD", "NAME ON A PAGE", "FAMILY"}
	for _, l := range t.Logins {
		heading = append(heading, "WITH "+strings.ToUpper(l.Name))
	}
	rows := [][]string{append(heading, "IDENTITY")}
	for _, f := range t.Fields {
		instagram, facebook, unified := cmp.Or(f.InstagramLogin, "-"), cmp.Or(f.FacebookLogin, "-"), cmp.Or(f.UnifiedLogin, "-")
		if f.Refused {
			instagram, unified = refused, refused
		}
		rows = append(rows, []string{f.Name, cmp.Or(f.Page, "-"), f.Family, instagram, facebook, unified, f.Identity})
	}
	c.list(0, rows)
	c.printf("\nPermissions that every field needs besides:\n")
	rows = nil
	for _, l := range t.Logins {
		rows = append(rows, []string{"  " + l.Name, namesText(l.Basic)})
	}
	c.table(rows...)
}
