package option_test

import (
	"testing"

	"github.com/caddy-instagram/webhooks/internal/option"
)

func TestNames(t *testing.T) {
	t.Parallel()
	var a, b, c bool
	options := []*option.Option{option.Flag("a", &a), option.Flag("b", &b), option.Flag("c", &c)}
	for n, want := range []string{"a", "a and b", "a, b and c"} {
		if got := option.NewTable("x", options[:n+1]...).Names(); got != want {
			t.Errorf("%d options are %q, want %q", n+1, got, want)
		}
	}
}
