package command

import (
	"strings"
	"testing"
)

// TestWrongSubCommandsGetTheNearest proposes what was meant, and repeats nothing.
func TestWrongSubCommandsGetTheNearest(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"queue stat":          "did you mean 'instagram queue status'?",
		"queue ls":            "did you mean 'instagram queue list'?",
		"queue shot":          "did you mean 'instagram queue show'?",
		"callback sett":       "did you mean 'instagram callback set'?",
		"token renew":         "no such sub-command",
		"queue s3cr3t-s3cr3t": "only backup, check, compact, discard, drop, export, forget, list, pause, resume, retry, show, status; see 'instagram queue --help'",
	} {
		r := runCommand(t.Context(), "", strings.Fields(args)...)
		r.want(t, 1, "", "there is no such sub-command")
		if !strings.Contains(r.errors, want) || strings.Contains(r.errors, secretMarker) {
			t.Errorf("%s: %s", args, r.errors)
		}
	}
}
