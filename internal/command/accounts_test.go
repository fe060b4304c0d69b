package command

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/caddy-instagram/webhooks/admin"
)

func TestAccountsTable(t *testing.T) {
	t.Parallel()
	end := time.Date(2027, 1, 12, 8, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	(&accountStatuses{Accounts: []admin.AccountStatus{
		{Account: "17841400000000777", Login: "instagram", Fields: []string{"comments", "messages"}, Subscription: "complete"},
		{Account: "1", Login: "facebook", Fields: []string{"feed"}, Subscription: "missing", Missing: []string{"feed"}, ToDo: "see"},
		{Account: "2", Login: "unified", Subscription: "uncertain"},
	}}).text(&console{out: &out})
	for _, want := range []string{"ACCOUNT", "2 of 2", "0 of 1", "?"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
	for want, a := range map[string]admin.AccountStatus{
		"2027-01-12": of("valid", end, false), "≤ 2027-01-12": of("valid", end, true), "dead": of("dead", end, false),
		"unknown": of("unknown", end, true), "-": of("valid", time.Time{}, false),
	} {
		if got := tokenEnd(&a); got != want {
			t.Errorf("%+v: got %q, want %q", a.Token, got, want)
		}
	}
	out.Reset()
	new(accountStatuses).text(&console{out: &out})
	if !strings.Contains(out.String(), "No account") {
		t.Errorf("got %q", out.String())
	}
}

func of(state string, end time.Time, latest bool) (a admin.AccountStatus) {
	a.Token.State, a.Token.Expires, a.Token.AtLatest = state, end, latest
	return a
}

// TestImportOnlyHere has an admin API that is elsewhere: the token is not sent there.
func TestImportOnlyHere(t *testing.T) {
	t.Parallel()
	for address, local := range map[string]bool{
		"localhost:2019": true, "127.0.0.1:2019": true, "[::1]:2019": true, "unix//run/caddy.sock": true,
		"10.0.0.5:2019": false, "caddy.example.com:2019": false,
		"0.0.0.0:2019": true, "[::]:2019": true, ":2019": true, // where Caddy listens; for a client, this machine
	} {
		if got := isLocal(address); got != local {
			t.Errorf("%s: got %t", address, got)
		}
	}
	cmd := importCommand()
	cmd.Flags().Bool("json", false, "")
	cmd.Flags().Bool("wide", false, "")
	var said bytes.Buffer
	cmd.SetErr(&said)
	cmd.SetOut(io.Discard)
	cmd.SetIn(strings.NewReader("IGAA-s3cr3t"))
	cmd.SetArgs([]string{"--account", "17841400000000001", "--token-file", "-", "--address", "10.0.0.5:2019"})
	if err := cmd.ExecuteContext(context.Background()); err == nil || !strings.Contains(said.String(), "not on this machine") || strings.Contains(said.String(), "s3cr3t") {
		t.Errorf("got %v: %s", err, said.String())
	}
}
