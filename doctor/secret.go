package doctor

import "fmt"

// secretForms says which app secrets cannot be one of Meta's.
func (v *visit) secretForms() {
	secrets := v.secrets
	if v.setup != nil && v.AppSecret == "" {
		secrets = v.setup.secrets
	}
	if len(secrets) == 0 {
		v.skip("there is no app secret", AppSecret)
	}
	for _, s := range secrets {
		if why := implausible(s.key); why != "" {
			v.add(Finding{AppSecret, s.name, Warning, fmt.Sprintf("This is no app secret of Meta's: it %s.", why),
				"Meta's are 32 hexadecimal digits. Copy it anew from the App Dashboard, where 'Show' reveals it; in a file or the environment without quotation marks, as UTF-8."})
			continue
		}
		v.add(Finding{AppSecret, s.name, OK, "It has the form of an app secret: 32 hexadecimal digits.", ""})
	}
}
