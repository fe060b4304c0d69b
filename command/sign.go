package command

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func signCommand() *cobra.Command {
	secret := appSecret()
	cmd := &cobra.Command{
		Use:   "sign [<file>]",
		Short: "Print the signature header of a body",
		Long: `
Prints the header X-Hub-Signature-256 that Meta would send with a body. The body
is taken byte for byte from a file, or from the standard input if there is none
or it is -.

Exit codes:
  0  done
  1  wrong usage, or the body or the app secret cannot be read
`,
		Example: `  $ caddy instagram sign delivery.json --app-secret-file secret
  $ curl https://hooks.example.com/webhooks -H "$(caddy instagram sign delivery.json)" \
      -H 'Content-Type: application/json' --data-binary @delivery.json`,
		RunE: run(1, func(_ context.Context, c *console, args []string) (result, error) {
			return sign(c, secret, append(args, "-")[0])
		}),
	}
	secret.register(cmd)
	return cmd
}

// signed is the result of sign.
type signed struct {
	outcome
	Header string `json:"header"`
	Value  string `json:"value"`
	Size   int64  `json:"size"`
}

func sign(c *console, source *secretSource, name string) (result, error) {
	key, err := source.read(c)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if name == "-" {
		if body, err = c.stdin("the body"); err != nil {
			return nil, err
		}
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
		defer f.Close()
		body = f
	}
	mac := hmac.New(sha256.New, []byte(key))
	size, err := io.Copy(mac, body)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	return &signed{Header: "X-Hub-Signature-256", Value: "sha256=" + hex.EncodeToString(mac.Sum(nil)), Size: size}, nil
}

func (s *signed) text(c *console) { c.printf("%s: %s\n", s.Header, s.Value) }
