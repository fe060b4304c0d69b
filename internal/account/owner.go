package account

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/caddy-instagram/webhooks/internal/graph"
)

// own sees to it that a token that is new is the account's: another one would be renewed
// and subscribed in its place. A token of Unified Login does not tell.
func (c *checker) own(ctx context.Context) error {
	if !c.r.Token.Owned && c.a.login() != graph.UnifiedLogin {
		owner, err := c.client.Me(ctx)
		if err != nil {
			return err
		}
		if err := c.a.owns(owner); err != nil {
			c.r.Token.Dead = err.Error()
			return err
		}
		if c.r.Scoped != owner.Scoped { // the token is another app's
			c.r.Subscription.App, c.r.Subscription.Only = "", ""
		}
		c.r.Token.Owned, c.r.Scoped = true, owner.Scoped
	}
	if c.a.login() == graph.FacebookLogin {
		return c.link(ctx)
	}
	return nil
}

// link learns which Instagram account the Page is linked to now, under whose id events come.
// What was known holds until there is an answer.
func (c *checker) link(ctx context.Context) error {
	linked, err := c.client.LinkedAccount(ctx, c.a.ID)
	refused, isRefusal := errors.AsType[*graph.Error](err)
	switch {
	case err == nil:
		c.r.Linked, c.r.LinkError = linked, ""
		return nil
	case isDead(err), c.r.Linked == "" && !(isRefusal && !refused.Passes()):
		return err
	}
	// The rest can be looked at all the same.
	if c.r.LinkError != err.Error() {
		c.r.LinkError = err.Error()
		c.logger.Warn("it is not known which Instagram account a Page is linked to now", zap.String("account", c.a.ID), zap.Error(err))
	}
	return nil
}

// ErrOtherAccount is wrapped by the error for a token that is of another account.
var ErrOtherAccount = errors.New("the token is of another account")

// owns returns an error if a token with this owner is not the account's.
func (a *Account) owns(owner graph.Owner) error {
	if owner.Account == a.ID {
		return nil
	}
	return fmt.Errorf("%w, %s: give one of the account %s", ErrOtherAccount, owner.Account, a.ID)
}
