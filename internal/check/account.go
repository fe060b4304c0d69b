package check

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// tokenSoon is how long before its end an access token is warned about.
const tokenSoon = 10 * 24 * time.Hour

// account asks Meta about the access token and the subscription.
func (r *run) account() {
	if r.Graph == nil {
		r.skip("there is no access token to ask Meta with", Token, Subscription)
		return
	}
	r.hide(string(r.Graph.Token), string(r.Graph.AppSecret))
	owner, err := r.Graph.Me(r.ctx)
	if err != nil {
		r.fault(Token, fmt.Sprintf("Meta does not take the access token: %s.", err), adviceOn(err))
		r.skip("Meta does not take the access token", Subscription)
		return
	}
	app := r.lifetime(owner)
	r.subscription(owner, app)
}

func adviceOn(err error) string {
	if refused, ok := errors.AsType[*graph.Error](err); ok {
		return refused.Advice()
	}
	return "Check that this machine reaches the Graph API."
}

// lifetime checks until when the token is valid, and what it may do. It returns
// the app that the token is of, if Meta tells.
func (r *run) lifetime(owner graph.Owner) string {
	whose := fmt.Sprintf("The access token of %s (%s)", owner.Account, owner.Name)
	if owner.SystemUser != "" {
		whose = fmt.Sprintf("The access token of the system user %s (%s)", owner.SystemUser, owner.Name)
	}
	if !r.Graph.Login.Debugs() {
		const refresh = "Refresh it: caddy instagram token refresh --token-file <file>. Once a week is good."
		switch latest := r.TokenWritten.Add(graph.TokenLife); {
		case r.TokenWritten.IsZero():
			r.ok(Token, whose+" is valid; until when, Meta does not tell.")
		case time.Until(latest) < tokenSoon:
			r.warn(Token, fmt.Sprintf("%s is valid, but only until %s unless it was refreshed elsewhere, by the age of its file.", whose, day(latest)), refresh)
		default:
			r.ok(Token, fmt.Sprintf("%s is valid, until %s at the latest, by the age of its file.", whose, day(latest)))
		}
		return ""
	}
	const renew = "Get a new one, by letting the user log in again."
	d, err := r.Graph.Debug(r.ctx)
	switch {
	case err != nil:
		r.warn(Token, fmt.Sprintf("%s works, but Meta does not tell until when: %s.", whose, err), adviceOn(err))
		return ""
	case !d.Valid:
		r.fault(Token, whose+" is not valid, says Meta.", renew)
		return d.App
	case !d.Expires.IsZero() && time.Until(d.Expires) < tokenSoon:
		r.warn(Token, fmt.Sprintf("%s is valid only until %s.", whose, day(d.Expires)), renew)
	case !d.DataExpires.IsZero() && time.Until(d.DataExpires) < tokenSoon:
		r.warn(Token, fmt.Sprintf("%s gives access to data only until %s.", whose, day(d.DataExpires)), renew)
	case d.Expires.IsZero():
		r.ok(Token, whose+" is valid and does not expire.")
	default:
		r.ok(Token, fmt.Sprintf("%s is valid until %s.", whose, day(d.Expires)))
	}
	r.permissions(whose, d.Permissions)
	return d.App
}

// permissions warns of those that the fields need and the token lacks.
func (r *run) permissions(whose string, granted []string) {
	if lacking := missingFrom(granted, r.Graph.Login.Permissions(r.Fields).All()); len(lacking) > 0 {
		r.warn(Token, fmt.Sprintf("%s lacks permissions: %s.", whose, strings.Join(lacking, ", ")),
			"Add them to the app, and let the user log in again and grant them: events can stay away without them.")
	}
}

// subscription compares the fields that the account is subscribed to with those
// that it should be.
func (r *run) subscription(owner graph.Owner, app string) {
	account := owner.Account
	if r.Account != "" {
		account = r.Account
	}
	if account == "" {
		r.warn(Subscription, fmt.Sprintf("With %s, the access token does not tell which account to look at.", r.Graph.Login.Name()),
			"Say it with --account: the id of the Instagram professional account, not that of a Page.")
		return
	}
	if r.App != "" {
		app = r.App
	}
	all, err := r.Graph.Subscriptions(r.ctx, account)
	if err != nil {
		r.fault(Subscription, fmt.Sprintf("The subscriptions of account %s cannot be read: %s.", account, err), adviceOn(err))
		return
	}
	if app == "" && len(all) > 1 {
		r.warn(Subscription, fmt.Sprintf("%d apps are subscribed to account %s, and it is not known which is yours.", len(all), account), "Say it with --app.")
		return
	}
	var fields []string
	for _, s := range all {
		if app == "" || s.App == app {
			fields = append(fields, s.Fields...)
		}
	}
	slices.Sort(fields)
	r.compare(account, fields)
}

func (r *run) compare(account string, fields []string) {
	login := ""
	if r.Graph.Login != "" && r.Graph.Login != graph.InstagramLogin {
		login = fmt.Sprintf(" --login %s", r.Graph.Login)
	}
	set := fmt.Sprintf("Subscribe it: caddy instagram subscriptions set%s --account %s --fields %s",
		login, account, cmp.Or(strings.Join(r.Fields, ","), "<fields>"))
	if len(r.Fields) > 0 {
		set = fmt.Sprintf("The access token needs %s. ", strings.Join(r.Graph.Login.Permissions(r.Fields).All(), ", ")) + set
	}
	missing, more := missingFrom(fields, r.Fields), missingFrom(r.Fields, fields)
	switch {
	case len(fields) == 0 && len(r.Fields) == 0:
		r.fault(Subscription, fmt.Sprintf("Your app is not subscribed to account %s: no event of it will come.", account), set)
	case len(missing) > 0:
		r.fault(Subscription, fmt.Sprintf("%s %s not subscribed for account %s.", strings.Join(missing, ", "), are(missing), account), set)
	case len(r.Fields) > 0 && len(more) > 0:
		r.warn(Subscription, fmt.Sprintf("%s %s subscribed for account %s, but not among the fields that should be.", strings.Join(more, ", "), are(more), account), set)
	default:
		r.ok(Subscription, fmt.Sprintf("Account %s is subscribed to %s.", account, strings.Join(fields, ", ")))
	}
}

// missingFrom returns which of the wanted names are not in a list.
func missingFrom(list, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return slices.Contains(list, name) })
}

func are(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}
