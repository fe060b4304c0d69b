package command

import (
	"strings"
	"testing"
)

// TestASecretThatIsMangledIsNotUsedInSilence signs with secrets that Meta gives
// nobody, and says so without any part of them.
func TestASecretThatIsMangledIsNotUsedInSilence(t *testing.T) {
	t.Parallel()
	const digits = "5ec4e7aa5ec4e7aa5ec4e7aa5ec4e7aa"
	p := newReceiver(t)
	body := writeFile(t, "body.json", `{"object":"instagram"}`)
	for _, tc := range []struct {
		secret, want string
		madeUp       bool
	}{
		{digits, "", false},
		{`"` + digits + `"`, "it has quotes around it", false},
		{`"` + digits + `"`, "it has quotes around it", true},
		{digits[:31], "it has 31 hexadecimal digits, not 32", false},
		{strings.ToUpper(digits), "it has upper-case letters", false},
		{"made up", "there is white space in it", false},
		{"made up", "", true},
	} {
		source := []string{"--app-secret-file", writeFile(t, "secret", tc.secret+"\n")}
		if tc.madeUp {
			source = []string{"--app-secret", tc.secret}
		}
		for _, args := range [][]string{{"sign", body}, {"sign", body, "--json"}, {"simulate", "--to", p.URL}} {
			r := runCommand(t.Context(), "", append(args, source...)...)
			note := ""
			for line := range strings.Lines(r.errors) {
				if strings.HasPrefix(line, "Note: ") {
					note += line
				}
			}
			if tc.want == "" && note != "" || tc.want != "" && (!strings.HasPrefix(note, "Note: the app secret looks wrong: "+tc.want) || strings.Count(note, "\n") != 1) {
				t.Errorf("%q: %s", args, r.errors)
			}
			if strings.Contains(strings.ToLower(r.errors), digits[:8]) || strings.Contains(r.errors, "made up") {
				t.Errorf("%q: part of the secret is in %s", args, r.errors)
			}
			if args[0] == "sign" && (r.status != 0 || strings.Contains(r.out, "Note")) {
				t.Errorf("%q: %+v", args, r)
			}
		}
	}
}
