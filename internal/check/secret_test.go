package check

import (
	"strings"
	"testing"
)

// TestSecretsThatCannotBeOnesAreNamed gives what people paste for an app secret.
func TestSecretsThatCannotBeOnesAreNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ secret, says string }{
		"quotes kept by --env-file": {`"` + secret + `"`, "quotes around it"},
		"byte order mark":           {"\ufeff" + secret, "byte order mark"},
		"UTF-16":                    {"\xff\xfe5\x00e\x00c\x004\x00e\x007\x00", "UTF-16"},
		"id of an app":              {"5474701234567890", "an app id"},
		"masked field":              {"••••••••", "dots of a masked field"},
		"cut off":                   {secret[:31], "31 hexadecimal digits, not 32"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFixture(t)
			c.AppSecret = ""
			r := &run{Checker: c.Checker, ctx: t.Context(), secrets: []appSecret{{"instagram", test.secret}}}
			r.secretForms()
			f := r.report.find(t, AppSecret)
			if f.Status != Warning || f.Subject != "instagram" || !strings.Contains(f.Text, test.says) {
				t.Errorf("%+v", f)
			}
			if strings.Contains(f.Text+f.Advice, "5ec4e7") || strings.Contains(f.Text, test.secret) {
				t.Errorf("the secret stands in %q", f.Text)
			}
		})
	}
}

// TestSecretsOfOtherSitesAreLookedAtToo has an implausible one in a webhook that
// does not answer at the callback URL.
func TestSecretsOfOtherSitesAreLookedAtToo(t *testing.T) {
	c, dir := configured(t, strings.Replace(noClientCert, "app_secret "+otherSecret, "app_secret other 1234567890123456", 1))
	free(10<<30)(c, dir)
	r := c.run()
	r.expect(t, nil, []string{AppSecret})
}
