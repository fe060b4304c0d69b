package check

import (
	"fmt"

	"github.com/caddy-instagram/webhooks/internal/secretcheck"
)

// secretForms says which app secrets cannot be one of Meta's.
func (r *run) secretForms() {
	secrets := r.secrets
	if r.setup != nil && r.AppSecret == "" {
		secrets = r.setup.secrets
	}
	if len(secrets) == 0 {
		r.skip("there is no app secret", AppSecret)
	}
	for _, s := range secrets {
		if problem := secretcheck.Describe(s.key); problem != "" {
			r.add(Finding{AppSecret, s.name, Warning, fmt.Sprintf("This does not look like an app secret of Meta's: %s.", problem),
				"Meta's are 32 lower-case hexadecimal digits. Copy it anew from the App Dashboard, where 'Show' reveals it."})
			continue
		}
		r.add(Finding{AppSecret, s.name, OK, "It has the form of an app secret: 32 hexadecimal digits.", ""})
	}
}
