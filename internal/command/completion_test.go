package command

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/admin"
)

// TestCompletionProposesValues asks as the shell does.
func TestCompletionProposesValues(t *testing.T) {
	t.Parallel()
	store, _ := newQueue(t)
	at := newQueueServer(t, admin.Store{Store: store, Name: "q"}).Listener.Addr().String()
	for args, want := range map[string]string{
		"queue list --state ":                         "pending\ndelivered\ndead\n:4\n",
		"queue export --format ":                      "cloudevents\nmeta\n:4\n",
		"subscriptions set --login ":                  "instagram\nfacebook\nunified\n:4\n",
		"queue list --field live":                     "live_comments\n",
		"subscriptions set --fields comments,messag":  "comments,messages\n",
		"queue list --address " + at + " --consumer ": "default\n:4\n",
		"queue pause --address " + at + " ":           "default\n:4\n",
		"queue status --address " + at + " --store ":  "q\n:4\n",
		"queue pause --address " + nobody(t) + " ":    ":4\n",
	} {
		r := runCommand(t.Context(), "", append([]string{cobra.ShellCompRequestCmd}, strings.Split(args, " ")...)...)
		if r.status != 0 || !strings.Contains(r.out, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestUsagesHaveNoMarks looks for what only help texts understand, and for the names of
// values there.
func TestUsagesHaveNoMarks(t *testing.T) {
	t.Parallel()
	r := runCommand(t.Context(), "", cobra.ShellCompRequestCmd, "simulate", "--")
	if strings.Contains(r.out, "`") || !strings.Contains(r.out, "--to\tThe callback URL to send to\n") {
		t.Errorf("the shell shows\n%s", r.out)
	}
	for _, want := range []string{"--to URL ", "--verify file ", "--count number ", "--field fields ", "(default [comments,messages])", "--retry "} {
		if help := runCommand(t.Context(), "", "simulate", "--help"); !strings.Contains(help.out, want) || strings.Contains(help.out, "default [])") {
			t.Errorf("no %q, or too much, in\n%s", want, help.out)
		}
	}
}
