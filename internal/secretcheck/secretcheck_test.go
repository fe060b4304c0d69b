package secretcheck

import (
	"strings"
	"testing"
	"unicode/utf16"
)

const good = "0123456789abcdef0123456789abcdef"

func wide(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune("\uFEFF" + text)) {
		b.WriteByte(byte(unit))
		b.WriteByte(byte(unit >> 8))
	}
	return b.String()
}

// TestDescribeTellsWhatHappenedToASecret keeps a value that cannot be an app
// secret from being noticed only when every delivery is refused.
func TestDescribeTellsWhatHappenedToASecret(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ secret, want string }{
		"right":                  {good, ""},
		"right, digits only":     {strings.Repeat("1", 32), ""},
		"double quotes":          {`"` + good + `"`, "quotes"},
		"single quotes":          {`'` + good + `'`, "quotes"},
		"word processor's":       {"“" + good + "”", "quotes"},
		"quote at one end":       {good + `"`, "quotes"},
		"byte order mark":        {"\uFEFF" + good, "byte order mark"},
		"mark before a quote":    {"\uFEFF\"" + good + `"`, "byte order mark"},
		"UTF-16":                 {wide(good + "\r\n"), "UTF-16"},
		"UTF-16, the other way":  {"\xFE\xFF\x001\x002", "UTF-16"},
		"UTF-16 without a mark":  {wide(good)[2:], "UTF-16"},
		"app id":                 {"1234567890123456", "app id"},
		"masked, bullets":        {strings.Repeat("•", 8), "masked"},
		"masked, dots":           {strings.Repeat("●", 32), "masked"},
		"masked, asterisks":      {strings.Repeat("*", 32), "masked"},
		"upper-case":             {strings.ToUpper(good), "upper-case"},
		"cut":                    {good[:31], "31 hexadecimal digits"},
		"twice":                  {good + good, "64 hexadecimal digits"},
		"too short for an id":    {"12345", "5 hexadecimal digits"},
		"assignment":             {"IG_APP_SECRET=" + good, "other text"},
		"app access token":       {"1234567890|" + good, "other text"},
		"comment behind":         {good + " # instagram", "other text"},
		"access token":           {"EAAG" + strings.Repeat("xY3_", 30), "access token"},
		"variable":               {"$IG_APP_SECRET", "variable"},
		"variable in braces":     {"${IG_APP_SECRET}", "variable"},
		"variable in templates":  {"{{ ig_app_secret }}", "variable"},
		"what is to be replaced": {"<app secret>", "variable"},
		"a sentence":             {"my app secret", "white space"},
		"a word":                 {"s3cret", "other characters"},
		"zero-width space":       {good + "\u200b", "invisible"},
		"control character":      {"\x1b[0m" + good, "invisible"},
		"broken UTF-8":           {good + "\xe9", "invisible"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Describe(tc.secret)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestDescribeNeverRepeatsTheSecret looks for parts of values in what is said of
// them.
func TestDescribeNeverRepeatsTheSecret(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"Xq7Zw", "Xq7Zw\"", "\uFEFFXq7Zw", "\x00Xq7Zw", "<Xq7Zw>", "Xq7Zw Xq7Zw", "Xq7Zw=" + good, "fedcba98", "IGXq7Zw" + strings.Repeat("a", 60),
	} {
		for _, said := range []string{Describe(secret), Mangled(secret)} {
			for _, part := range []string{"Xq7Zw", "fedcba98", "01234567"} {
				if strings.Contains(said, part) {
					t.Errorf("%q is repeated in %q", part, said)
				}
			}
		}
	}
}

// TestMangledLetsTokensBe keeps a verify token that people made up from being
// doubted.
func TestMangledLetsTokensBe(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"token", "a b", "it's mine", "Größe", "***a***", "1234567890123456", good, ""} {
		if got := Mangled(token); got != "" {
			t.Errorf("%q: %s", token, got)
		}
	}
}
