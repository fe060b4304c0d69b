package command

import (
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/admin"
)

// TestAMisspeltFieldIsNotSilent selects events of a field that nobody knows.
func TestAMisspeltFieldIsNotSilent(t *testing.T) {
	t.Parallel()
	store, path := newQueue(t)
	accept(t, store, commented(2)...)
	s := newQueueServer(t, admin.Store{Store: store, Name: "q"})
	const note = `Note: field "coments" is not known: is it misspelt? The nearest that is known is "comments"`
	for _, args := range [][]string{{"list"}, {"export"}, {"retry", "--all"}, {"discard", "--all"}} {
		r := s.run(t, append(args, "--field", "coments")...)
		r.want(t, 0, "", note)
		if strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%v: %s", args, r.errors)
		}
		for _, known := range []string{"comments", "unparsed"} {
			s.run(t, append(args, "--field", known)...).want(t, 0, "", "")
		}
		secret := strings.Repeat("s3cr3t", 30)
		s.run(t, append(args, "--field", secret)...).want(t, 0, "", "longer than that of any field") // run looks for the secret
	}
	closeQueue(t, store)
	for _, command := range []string{"list", "export"} {
		runQueue(t, command, "--file", path, "--field", "coments").want(t, 0, "", note)
	}
}

// TestQueueErrorsNameFlags names nothing that only the admin API has.
func TestQueueErrorsNameFlags(t *testing.T) {
	t.Parallel()
	a, _ := newQueue(t)
	b, _ := newQueue(t)
	s := newQueueServer(t, admin.Store{Store: a, Name: "a.db"}, admin.Store{Store: b, Name: "b.db"})
	s.run(t, "list").want(t, 1, "", "several stores are open: choose one with --store: a.db, b.db")
	s.run(t, "retry", "--all", "--state", "", "--store", "a.db").want(t, 1, "", "--state is empty")
}
