package mask

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-instagram/webhooks/event/sample"
	"github.com/caddy-instagram/webhooks/internal/jsonscan"
)

func TestBody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"id":"17841400000000001","n":12345678901234567890,"ok":true,"no":null}`: `{"id":"17841400000000001","n":12345678901234567890,"ok":true,"no":null}`,
		`{"text":"Hi, 4711!"}`:                         `{"text":"•••••••••"}`,
		`{ "text" : "" }` + "\n":                       `{ "text" : "" }` + "\n",
		`{"text":"\u00e9\"\\é😀"}`:                      `{"text":"••••••••••••"}`,
		`{"username":"jane.roe","id":"jane roe"}`:      `{"username":"••••••••","id":"••••••••"}`,
		`{"url":"https://cdn.example/1","mid":"m_A="}`: `{"url":"•••••••••••••••••••••","mid":"m_A="}`,
		`{"from":"16505551234","to":"jane"}`:           `{"from":"16505551234","to":"••••"}`,
		`{"from":{"id":"7","username":"jane"}}`:        `{"from":{"id":"7","username":"••••"}}`,
		`{"changed_fields":["photos","Jane Roe"]}`:     `{"changed_fields":["photos","••••••••"]}`,
		`{"text":["a",["b",{"c":"d"}]]}`:               `{"text":["•",["•",{"c":"•"}]]}`,
		`{"Jane Roe":1,"id":"x"}`:                      `{"••••••••":1,"id":"x"}`,
		`{"\u0074ext":"abc"}`:                          `{"\u0074ext":"•••"}`,
		`{"\u0069d":"abc"}`:                            `{"\u0069d":"abc"}`,
		`"jane"`:                                       `"••••"`,
		`17`:                                           `17`,
		``:                                             ``,
		"a b\n{":                                       "•••\n•",
		`{"id":"7"} jane`:                              `•••••••••••••••`,
		`{"id":"7","text":"jane}`:                      `•••••••••••••••••••••••`,
	} {
		if got := Body(body); got != want {
			t.Errorf("%s became %s, want %s", body, got, want)
		}
	}
	deep := strings.Repeat(`[`, 100) + `"jane"` + strings.Repeat(`]`, 100)
	if got := Body(deep); strings.Contains(got, "jane") || utf8.RuneCountInString(got) != len(deep) {
		t.Errorf("a deep value became %s", got)
	}
	bottomless := strings.Repeat(`[`, 5_000_000)
	if got := Body(bottomless); strings.Contains(got, "[") {
		t.Error("what is not JSON is shown")
	}
}

// No word of the samples, which are in every shape that Meta sends, is to be seen, and
// every id is.
func TestSamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../event/testdata/deliveries/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal("no samples: ", err)
	}
	var bodies []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(text))
	}
	bodies = append(bodies, string(sample.New(1).Delivery(sample.Compact, 20, "messages", "comments", "mentions")))
	for _, body := range bodies {
		check(t, body)
		if masked := Body(body); jsonscan.Valid(body) && strings.Contains(body, "17841400000000001") && !strings.Contains(masked, "17841400000000001") {
			t.Errorf("the account is hidden in %s", masked)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add(`{"entry":[{"id":"1","messaging":[{"message":{"mid":"m","text":"meet me at noon"}}]}]}`)
	f.Add(`{"text":"a\"b","username":"\\","x":{"id":"u v"}}`)
	f.Add("not JSON: jane")
	f.Add(`[1,"a`)
	f.Fuzz(func(t *testing.T, body string) {
		if utf8.ValidString(body) {
			check(t, body)
		}
		// Whatever is around it, a text stays hidden.
		quoted := strings.NewReplacer(`"`, ``, `\`, ``).Replace(strings.Map(printable, body))
		for _, around := range []string{`{"text":"%"}`, `{"message":{"mid":"m","text":"%"},"from":{"username":"%"}}`, `{"url":"%","payload":"%","title":["%"]}`} {
			whole := strings.ReplaceAll(around, "%", quoted)
			check(t, whole)
			if masked := Body(whole); len(quoted) >= 4 && strings.Trim(quoted, "•") != "" && strings.Contains(masked, `"`+quoted+`"`) {
				t.Errorf("%s is shown in %s", quoted, masked)
			}
		}
	})
}

func printable(r rune) rune {
	if r < ' ' || r == utf8.RuneError {
		return -1
	}
	return r
}

// check fails the test unless the masked body has the shape of the body, and no word of a
// member that holds words.
func check(t *testing.T, body string) {
	t.Helper()
	masked := Body(body)
	if utf8.RuneCountInString(masked) != utf8.RuneCountInString(body) {
		t.Errorf("%q became %q, of another length", body, masked)
	}
	if jsonscan.Valid(body) != jsonscan.Valid(masked) && strings.Count(body, "[")+strings.Count(body, "{") < maxDepth {
		t.Errorf("%q became %q, of another grammar", body, masked)
	}
	if !jsonscan.Valid(body) {
		if strings.Trim(masked, "•\n\r\t") != "" {
			t.Errorf("%q is shown as %q", body, masked)
		}
		return
	}
	for _, name := range []string{"text", "username", "url", "permalink", "title", "payload", "caption", "name", "ref", "ad_title", "emoji"} {
		for rest := masked; ; {
			_, after, found := strings.Cut(rest, `"`+name+`":"`)
			if !found {
				break
			}
			if value, _, _ := strings.Cut(after, `"`); strings.Trim(value, "•") != "" {
				t.Errorf("the %s is shown in %s", name, masked)
			}
			rest = after
		}
	}
}
