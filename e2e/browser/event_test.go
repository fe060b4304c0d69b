package browser

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// revealed are parts of what people wrote, as the page would show them.
var revealed = []string{"Большое спасибо", `Большое`, privateName, "lookaside.fbsbx.com"}

func (b *tab) isRevealed() bool {
	b.Helper()
	text := eval[string](b, "document.documentElement.textContent")
	return slices.ContainsFunc(revealed, func(part string) bool { return strings.Contains(text, part) })
}

// TestReveal shows what people wrote only after the button, and only until Esc.
func TestReveal(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "#event/48187?consumer=bot")
	b.waitText("pre", "••••")
	b.waitText("pre", "17841405822304914")
	if b.isRevealed() || len(f.changes()) != 0 {
		t.Errorf("it was revealed unasked, by %q", f.changes())
	}
	b.click("Reveal")
	b.waitText("pre", `She said \"yes\" ✨ Большое спасибо! 🙏`)
	if want := []string{"events/48187/reveal"}; !slices.Equal(f.changes(), want) {
		t.Errorf("it asked for %q, want %q", f.changes(), want)
	}
	b.click("As sent")
	b.waitText("pre", privateText)
	b.press(kb.Escape)
	b.waitText("pre", "••••")
	if b.isRevealed() {
		t.Error("it is not masked again")
	}
}

// TestCompare compares an event with the one before it, masked or both revealed.
func TestCompare(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "#event/48187?consumer=bot")
	b.click("Compare with the one before")
	b.waitText("[aria-label=Differences] .added", "1796000048187")
	b.waitText("[aria-label=Differences] .removed", "1796000048178")
	if n := eval[int](b, "document.querySelectorAll('.added, .removed').length"); n != 2 {
		t.Errorf("%d lines differ, want 2:\n%s", n, b.text("[aria-label=Differences]"))
	}
	if b.isRevealed() || len(f.changes()) != 0 {
		t.Errorf("it was revealed unasked, by %q", f.changes())
	}
	b.click("Reveal")
	b.waitText("[aria-label=Differences]", "Большое")
	if want := []string{"events/48187/reveal", "events/48178/reveal"}; !slices.Equal(f.changes(), want) {
		t.Errorf("it asked for %q, want %q", f.changes(), want)
	}
}

// TestCurl runs the command that the page gives, with a curl that prints what it would send.
func TestCurl(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	e := f.find("48187")
	e.raw = strings.Replace(e.raw, `"is_echo":false`, `"it's":"$(id) `+"`id`"+` \\ !! ; #"`, 1)
	b := open(t, f.page(), "#event/48187?consumer=bot")
	b.click("Reveal")
	b.waitText("pre", "$(id)")
	b.click("Copy as curl")
	b.wait("document.querySelector('dialog textarea')")
	command := eval[string](b, "document.querySelector('dialog textarea').value")

	const secret = "0123456789abcdef0123456789abcdef"
	script := `curl() { printf '%s\n' "$@"; }` + "\nIG_APP_SECRET=" + secret + "\n" + command
	out, err := exec.Command("bash", "-euc", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, command, out)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(e.raw))
	for _, want := range []string{
		"https://hooks.example.com/webhooks\n", "User-Agent: facebookexternalua\n", "--data-binary\n" + e.raw + "\n",
		fmt.Sprintf("X-Hub-Signature-256: sha256=%x\n", mac.Sum(nil)),
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s\nsends no %s, but\n%s", command, want, out)
		}
	}
}

// TestDangerousCurl refuses to copy what a terminal would obey, even between quotes.
func TestDangerousCurl(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	f.find("48187").masked = "{}\x1b[201~\nid\n"
	b := open(t, f.page(), "#event/48187?consumer=bot")
	b.click("Copy as curl")
	b.waitText("#toasts", "a terminal would obey")
}

// TestTokens holds the tokenizer to what must be true of any text.
func TestTokens(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	b := open(t, f.page(), "")
	for _, text := range []string{
		``, ` `, `{}`, `[]`, `{"a":[]}`, `[1,-2.5e+10,true,false,null,"a\"b\\"]`, `{"id":18446744073709551615,"n":0.10}`,
		`{"a":{"b":[{"c":"d"},{}]}}`, `]]}}`, `{"open`, `{"a":nul}`, `"\ud83d\ude4f \u202e \/ \n"`, `{"a"` + "\x00" + `:1}`, "\u00fc<b>",
		strings.Repeat("[", 5000), `"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		const check = `import("./json.js").then(({tokens, lines}) => {
			const all = tokens(%[1]s);
			const shown = lines(%[1]s);
			const flat = (list) => list.filter(([, token]) => token.trim()).map(([, token]) => token).join("\n");
			return all.map(([, token]) => token).join("") === %[1]s && (!shown || flat(shown.flat()) === flat(all));
		})`
		if !eval[bool](b, fmt.Sprintf(check, jsString(text))) {
			t.Errorf("%.80q is changed", text)
		}
	}
	got := eval[string](b, `import("./json.js").then(({lines}) =>
		lines('{"a": [1, {"b":18446744073709551615}], "c":[ ]}').map((line) => line.map(([, t]) => t).join("")).join("\n"))`)
	want := "{\n  \"a\": [\n    1,\n    {\n      \"b\": 18446744073709551615\n    }\n  ],\n  \"c\": []\n}"
	if got != want {
		t.Errorf("laid out:\n%s\nwant:\n%s", got, want)
	}
	got = eval[string](b, `import("./json.js").then(({readable}) => readable(String.raw`+"`"+`"\ud83d\ude4f \u00e9 \\u00e9 \/ \" \n \u202e \u0000 \ud83d \u0022 \u005c"`+"`"+`))`)
	if want := `"🙏 é \\u00e9 / \" \n \u202e \u0000 \ud83d \u0022 \u005c"`; got != want {
		t.Errorf("readable: %s, want %s", got, want)
	}
}

// jsString is a text as a literal of JavaScript.
func jsString(text string) string {
	literal, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(literal)
}
