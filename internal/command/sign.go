package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caddy-instagram/webhooks/internal/meta"
	"github.com/caddy-instagram/webhooks/internal/simulate"
)

func signCommand() *cobra.Command {
	secret := appSecret
	cmd := newCommand("sign [<file>]", "Print the signature header of a body", `
Prints the header X-Hub-Signature-256 that Meta would send with a body. The body
is taken byte for byte from a file, or from the standard input if there is none
or it is -.

Exit codes:
  0  done
  1  wrong usage, or the body or the app secret cannot be read
`+outputCode, `  $ caddy instagram sign delivery.json --app-secret-file secret
  $ curl https://hooks.example.com/webhooks -H "$(caddy instagram sign delivery.json)" \
      -H 'Content-Type: application/json' --data-binary @delivery.json`,
		1, func(_ context.Context, c *console, args []string) (result, error) {
			return sign(c, &secret, append(args, "-")[0])
		})
	secret.register(cmd)
	return cmd
}

// signed is the result of sign.
type signed struct {
	outcome
	Header string `json:"header"`
	Value  string `json:"value"`
	Size   int    `json:"size"`
}

// maxBody bounds a body out of a file, in bytes. Meta's deliveries are far
// smaller.
const maxBody = 64 << 20

func sign(c *console, source *secretSource, name string) (result, error) {
	key, err := source.read(c)
	if err != nil {
		return nil, err
	}
	in, err := c.open(name, "body")
	if err != nil {
		return nil, err
	}
	defer in.Close()
	body, err := readAll(in, maxBody)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	source.warn(c, key)
	_, value := simulate.Signatures(string(key), body)
	return &signed{Header: meta.HeaderSignature, Value: value, Size: len(body)}, nil
}

func (s *signed) text(c *console) { c.printf("%s: %s\n", s.Header, s.Value) }
