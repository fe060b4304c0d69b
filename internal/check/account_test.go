package check

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
	"github.com/caddy-instagram/webhooks/internal/graph/graphtest"
)

// withToken changes the token of a login.
func (c *fixture) withToken(value string, change func(*graphtest.Token)) {
	state := c.meta.State()
	for _, t := range state.Tokens {
		if t.Value == value {
			change(t)
		}
	}
	c.Graph.HTTP = graphtest.New(state).Client()
}

func TestUnifiedLogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		harm             func(c *fixture)
		faults, warnings []string
		check, says      string
	}{
		"right": {harm: func(c *fixture) {}, check: Token, says: "of the system user 12241400000000001 (System user of gardens) is valid and does not expire"},
		"account not said": {harm: func(c *fixture) { c.Account = "" }, warnings: []string{Subscription},
			check: Subscription, says: "does not tell which account"},
		"field missing": {harm: func(c *fixture) { c.Fields = []string{"story_insights"} }, faults: []string{Subscription},
			check: Subscription, says: "The access token needs instagram_basic, instagram_manage_insights. Subscribe it: caddy instagram subscriptions set --login unified --account " + accountID},
		"nothing subscribed": {harm: func(c *fixture) {
			state := c.meta.State()
			state.Accounts[0].Subscribed = nil
			c.Graph.HTTP, c.Fields = graphtest.New(state).Client(), nil
		}, faults: []string{Subscription}, check: Subscription, says: "set --login unified --account " + accountID + " --fields <fields>"},
		"a Page's id": {harm: func(c *fixture) { c.Account = pageID }, faults: []string{Subscription},
			check: Subscription, says: "of the Instagram professional account"},
		"token ends": {harm: func(c *fixture) {
			c.withToken(systemToken, func(t *graphtest.Token) { t.Expires = time.Now().Add(48 * time.Hour) })
		}, warnings: []string{Token}, check: Token, says: "is valid only until"},
		"token not told about": {harm: func(c *fixture) { c.meta.Fail(graphtest.Fault{Path: "/debug_token", Status: 400}) }, warnings: []string{Token},
			check: Token, says: "works, but Meta does not tell until when"},
		"permission missing": {harm: func(c *fixture) {
			c.withToken(systemToken, func(t *graphtest.Token) { t.Permissions = []string{"instagram_basic", "instagram_manage_comments"} })
		}, warnings: []string{Token}, says: "lacks permissions: instagram_manage_messages."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.NoDeliveries = true
			c.Graph.Login, c.Graph.Token = graph.UnifiedLogin, systemToken
			test.harm(c)
			r := c.run()
			r.expect(t, test.faults, test.warnings)
			said := ""
			for _, f := range r.Findings {
				if test.check == "" || f.Check == test.check {
					said += f.Text + " " + f.Advice + "\n"
				}
			}
			if !strings.Contains(said, test.says) {
				t.Errorf("%q is not said, but %q", test.says, said)
			}
		})
	}
}

// TestPageTokenWithoutABasicPermission lacks one that no field names.
func TestPageTokenWithoutABasicPermission(t *testing.T) {
	t.Parallel()
	c := newFixture(t)
	c.NoDeliveries = true
	c.Graph.Login, c.Graph.Token, c.Account, c.Fields = graph.FacebookLogin, pageToken, "", []string{"messages", "message_reads"}
	c.withToken(pageToken, func(t *graphtest.Token) {
		t.Permissions = []string{"instagram_basic", "instagram_manage_messages", "pages_manage_metadata", "pages_show_list"}
	})
	r := c.run()
	r.expect(t, []string{Subscription}, []string{Token})
	var said string
	for _, f := range r.Findings {
		said += f.Text + " " + f.Advice + "\n"
	}
	for _, want := range []string{"lacks permissions: pages_read_engagement.", "subscriptions set --login facebook --account " + pageID} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said, but %q", want, said)
		}
	}
}
