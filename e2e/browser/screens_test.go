package browser

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const imageDir = "../docs/images"

// show brings a screen into the state that is to be seen.
var show = []struct {
	name, fragment string
	then           func(*tab, *fake)
}{
	{"overview", "overview", nil},
	{"live", "live", func(b *tab, f *fake) {
		b.waitText(".connection", "Connected")
		for i := range 40 {
			f.send(b.T, happening(i))
		}
		b.wait("document.querySelectorAll('tbody tr').length === 40")
	}},
	{"events", "events?consumer=bot", func(b *tab, _ *fake) { b.press("j", "j", "x", "j", "x") }},
	{"event", "event/48187?consumer=bot", func(b *tab, _ *fake) { b.run("scrollTo(0, document.querySelector('.cards').offsetTop - 70)") }},
	{"dead", "dead", func(b *tab, _ *fake) { b.press("j") }},
	{"retry", "dead", func(b *tab, _ *fake) {
		b.press("j", "r")
		b.waitText("dialog", "At")
	}},
	{"refusals", "refusals", nil},
	{"check", "check", func(b *tab, _ *fake) {
		b.click("Check now")
		b.waitText("[role=status]", "1 fault, 1 warning")
	}},
}

// happening is one of the messages that an operator may see.
func happening(i int) string {
	person := fmt.Sprintf("%s/%d", account, 6230000000000011+i%5*1234567)
	at := before(time.Duration(40-i) * 700 * time.Millisecond)
	id := fmt.Sprint(48213 + i/3)
	switch {
	case i%13 == 5:
		return message("refusal", m{"time": at, "reason": "signature_missing", "status": 401, "error": "the header X-Hub-Signature-256 is missing", "client_ip": "185.220.101.4"})
	case i%3 == 0:
		return message("delivery", m{"time": at, "status": 200, "field": "messages", "account": account, "events": 1, "took": .0021, "client_ip": "173.252.95.14"})
	case i%7 == 1:
		return message("attempt", m{"time": at, "status": 502, "error": answer502, "field": "messages", "account": account, "conversation": person,
			"consumer": "bot", "id": id, "attempt": 3, "took": .004})
	default:
		return message("attempt", m{"time": at, "status": 200, "field": "messages", "account": account, "conversation": person,
			"consumer": []string{"crm", "bot"}[i%2], "id": id, "attempt": 1, "took": .083})
	}
}

// TestScreens opens each screen, in the light, in the dark and on a phone. Each must be
// accessible and fit, and with -update becomes an image in the documentation.
func TestScreens(t *testing.T) {
	t.Parallel()
	axe := axe(t)
	for _, window := range []struct {
		name, scheme string
		size
	}{{"light", "light", desktop}, {"dark", "dark", desktop}, {"phone", "light", phone}} {
		t.Run(window.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, calm())
			b := openAs(t, f.page(), "", window.size, window.scheme)
			for _, s := range show {
				b.visit(s.fragment)
				if s.then != nil {
					s.then(b, f)
				}
				if wide := eval[int](b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("%s is %d pixels wider than the window", s.name, wide)
				}
				if n := eval[int](b, "document.querySelectorAll('main tr').length"); n > 220 {
					t.Errorf("%s has %d rows", s.name, n)
				}
				b.audit(axe, s.name)
				if *update {
					save(t, "inspector-"+s.name+"-"+window.name+".png", get(b, chromedp.CaptureScreenshot()))
				}
			}
		})
	}
}

// save writes an image with 256 colours, which makes it a third as large.
func save(t *testing.T, name string, shot []byte) {
	t.Helper()
	whole, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	small := image.NewPaletted(whole.Bounds(), colours(whole))
	draw.Draw(small, small.Rect, whole, whole.Bounds().Min, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(imageDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(imageDir, name), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// colours returns the most frequent colours of an image that differ from one another.
func colours(of image.Image) color.Palette {
	count := make(map[color.RGBA]int)
	for y := of.Bounds().Min.Y; y < of.Bounds().Max.Y; y++ {
		for x := of.Bounds().Min.X; x < of.Bounds().Max.X; x++ {
			count[color.RGBAModel.Convert(of.At(x, y)).(color.RGBA)]++
		}
	}
	var chosen color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] }) {
		isLike := func(other color.Color) bool {
			o := other.(color.RGBA)
			return max(c.R, o.R)-min(c.R, o.R) < 8 && max(c.G, o.G)-min(c.G, o.G) < 8 && max(c.B, o.B)-min(c.B, o.B) < 8
		}
		if len(chosen) < 256 && (len(chosen) < 16 || !slices.ContainsFunc(chosen, isLike)) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// audit fails the test for each finding of axe that is serious.
func (b *tab) audit(axe, screen string) {
	b.Helper()
	b.run(axe + "; undefined")
	findings := eval[[]struct {
		ID     string
		Impact string
		Help   string
		Nodes  []struct {
			HTML           string
			FailureSummary string
		}
	}](b, "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
	for _, found := range findings {
		if found.Impact != "serious" && found.Impact != "critical" {
			b.Logf("%s: axe notes %s (%s): %s", screen, found.ID, found.Impact, found.Help)
			continue
		}
		var at []string
		for _, node := range found.Nodes[:min(3, len(found.Nodes))] {
			at = append(at, node.HTML+"\n"+node.FailureSummary)
		}
		b.Errorf("%s: axe finds %s (%s): %s\n%s", screen, found.ID, found.Impact, found.Help, strings.Join(at, "\n"))
	}
}

// TestEmpty opens each screen of a server that has nothing to tell yet.
func TestEmpty(t *testing.T) {
	t.Parallel()
	f := newFake(t, data{dead: m{"causes": []m{}}})
	b := open(t, f.page(), "")
	for screen, says := range map[string]string{
		"overview": "No queue is open", "live": "Nothing yet", "events": "No events", "events?state=dead": "No event is dead",
		"events?field=x": "No event matches", "dead": "No dead letters", "refusals": "No refusals", "check": "Nothing to check",
		"event/7": "there is no such event",
	} {
		b.visit(screen)
		b.waitText("main", says)
	}
}

// TestDenied shows what the server says to who may not look.
func TestDenied(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	f.denied = "nobody is logged in: put basic_auth before instagram_inspector"
	b := open(t, f.page(), "")
	b.waitText("[role=alert]", f.denied)
}

// TestSize holds the page to its limits: it is part of every binary, and comes over slow lines.
func TestSize(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(pageDir)
	if err != nil {
		t.Fatal(err)
	}
	raw, zipped := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(pageDir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		raw += len(text)
		zipped += gzipped(t, text)
	}
	t.Logf("the page has %d bytes, and %d gzipped", raw, zipped)
	if raw > 80_000 || zipped > 25_000 {
		t.Errorf("the page has %d bytes, and %d gzipped; it may have 80,000 and 25,000", raw, zipped)
	}
}
