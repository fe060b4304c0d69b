package event

import (
	"encoding/json"
	"testing"
)

// TestLinesThatNobodyCouldRead holds that each line is JSON, so that what was not
// is told from a line that a crash cut off.
func TestLinesThatNobodyCouldRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a": 1}`:         `{"a": 1}`,
		"{\r\n  \"a\": 1}": `{"a":1}`,
		`{"cut":`:          `{"data_base64":"eyJjdXQiOg=="}`,
		"a=b":              `{"data_base64":"YT1i"}`,
		"a\nb\xff":         `{"data_base64":"YQpi/w=="}`,
		"":                 `{"data_base64":""}`,
	} {
		got := string(AppendLine([]byte("x"), []byte(text)))
		if got != "x"+want || !json.Valid([]byte(got[1:])) {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := string(AppendJSONLine([]byte("x"), []byte("{\n\"cut\":"))); got != `x{"data_base64":"ewoiY3V0Ijo="}` {
		t.Errorf("what is not JSON was lost: %q", got)
	}
}
