package command

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/event"
)

func fieldsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fields",
		Short: "List the fields of Instagram's webhooks",
		Long: `
Lists the fields of Instagram's webhooks: the family that their events belong
to, the permission that each login needs, and what makes up an event's identity.
"-" stands where Meta documents no permission. Fields that Meta documents but
refuses stand last.

Exit codes:
  0  done
  1  wrong usage
` + unsaidCode,
		Example: `  $ caddy instagram fields
  $ caddy instagram fields --json`,
		RunE: run(0, func(context.Context, *console, []string) (result, error) {
			r := new(fieldTable)
			for _, f := range event.Fields() {
				r.Fields = append(r.Fields, field{
					f.Name, family(f.Kind), f.About, f.InstagramLogin, f.FacebookLogin, f.Identity, f.Common, f.Refused,
				})
			}
			return r, nil
		}),
	}
}

// fieldTable is the result of fields.
type fieldTable struct {
	outcome
	Fields []field `json:"fields"`
}

type field struct {
	Name           string `json:"name"`
	Family         string `json:"family"`
	About          string `json:"about"`
	InstagramLogin string `json:"instagram_login,omitempty"`
	FacebookLogin  string `json:"facebook_login,omitempty"`
	Identity       string `json:"identity"`
	Common         bool   `json:"common,omitempty"`
	Refused        bool   `json:"refused,omitempty"`
}

// family returns the key of a delivery under which events of a kind come.
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
	rows := [][]string{{"FIELD", "FAMILY", "WITH INSTAGRAM LOGIN", "WITH FACEBOOK LOGIN", "IDENTITY"}}
	for _, f := range t.Fields {
		instagram, facebook := cmp.Or(f.InstagramLogin, "-"), cmp.Or(f.FacebookLogin, "-")
		if f.Refused {
			instagram, facebook = "refused by Meta", "refused by Meta"
		}
		rows = append(rows, []string{f.Name, f.Family, instagram, facebook, f.Identity})
	}
	c.table(rows...)
}
