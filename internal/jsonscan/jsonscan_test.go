package jsonscan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Position by position, as event reads a delivery.
func Example() {
	s := Scanner{Text: `{"id": 17, "list": [1, {"a": "\u00e9"}], "text": "x"}`}
	for at, name := range s.Members {
		switch name {
		case "id", "text":
			fmt.Println(at, name, s.Scalar())
		case "list":
			for at := range s.Elements {
				fmt.Println(at, s.Raw())
			}
		}
	}
	fmt.Println(s.Pos == len(s.Text), s.Failed)
	// Output:
	// 1 id 17
	// 20 1
	// 23 {"a": "\u00e9"}
	// 41 text x
	// true false
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	for depth, want := range map[int]bool{maxDepth: true, maxDepth + 1: false, 1_000_000: false} {
		if text := strings.Repeat("[", depth) + strings.Repeat("]", depth); Valid(text) != want {
			t.Errorf("%d levels: valid is %t", depth, !want)
		}
	}
}

// FuzzValid holds the scanner against encoding/json.
func FuzzValid(f *testing.F) {
	for _, text := range []string{
		"{}", ` [ 1 , -0.5e+7 , "\"\\\u00e9" , { "a" : [ true , false , null ] } ] `, "{\"a\":\n1}",
		"", "[1,]", `{"a"}`, "01", `"\x"`, "[1}", "nulll", "\"\x01\"",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[")+strings.Count(text, "{") > maxDepth {
			return
		}
		valid := json.Valid([]byte(text))
		if Valid(text) != valid {
			t.Fatalf("%q: encoding/json says %t", text, valid)
		}
		var want bytes.Buffer
		if valid && json.Compact(&want, []byte(text)) == nil && string(AppendCompact(nil, text)) != want.String() {
			t.Errorf("%q: got %q, want %q", text, AppendCompact(nil, text), want.String())
		}
	})
}
