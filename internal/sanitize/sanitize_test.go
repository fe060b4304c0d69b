package sanitize

import (
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "",
		"Grüße, 日本":              "Grüße, 日本",
		"\x1b[31mred\n\u009b0m":  " [31mred  0m",
		"token IGAA, IGAA again": "token [secret], [secret] again",
		"\u202eright to left":    " right to left",
	} {
		if got := Text(in, 100, "", "to", "IGAA"); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	for maxLen := range 7 {
		got := Text("日本IGAA", maxLen, "IGAA")
		if len(got) > maxLen+len("…") || !utf8.ValidString(got) || strings.Contains(got, "IG") {
			t.Errorf("cut off after %d: %q", maxLen, got)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	if Error(nil, 10) != nil {
		t.Error("an error out of nothing")
	}
	if got := Error(io.EOF, 10); got != io.EOF {
		t.Errorf("EOF became %v", got)
	}
	wild := errors.Join(io.EOF, errors.New("\x1b[31ms3cr3t"))
	got := Error(wild, 100, "s3cr3t")
	if got.Error() != "EOF  [31m[secret]" || !errors.Is(got, io.EOF) {
		t.Errorf("got %q", got)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	if got := Printable("Grüße\x1b[2J\u202e\xff\ufffd", '#'); got != "Grüße#[2J###" {
		t.Errorf("got %q", got)
	}
	if got := OneLine(" \x1b[31mred\r\n\x00\xffend\t"); got != "[31mred end" {
		t.Errorf("one line: %q", got)
	}
}
