package loadcheck

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-instagram/webhooks/matcher"
)

// hasMatcher reports whether some matcher in the sets, or in a "not" there, is asked for.
func hasMatcher(sets caddyhttp.MatcherSets, wanted func(m any) bool) bool {
	return slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(m any) bool {
			if not, ok := m.(*caddyhttp.MatchNot); ok {
				return hasMatcher(not.MatcherSets, wanted)
			}
			return wanted(m)
		})
	})
}

// matchesEvents reports whether a matcher is, or calls, the matcher instagram.
func matchesEvents(m any) bool {
	if expression, ok := m.(*caddyhttp.MatchExpression); ok {
		return eventCall.MatchString(quoted.ReplaceAllString(expression.Expr, "''"))
	}
	_, ok := m.(*matcher.Match)
	return ok
}

// eventCall matches a call of the matcher instagram in an expression without quoted text.
var (
	eventCall = regexp.MustCompile(`\binstagram\(`)
	quoted    = regexp.MustCompile("'(\\\\.|[^'\\\\])*'|\"(\\\\.|[^\"\\\\])*\"|`[^`]*`")
)

// mayBeDelivery reports whether a route may match a delivery that a webhook at one of these places passed on, as far
// as paths and methods tell.
func mayBeDelivery(route *caddyhttp.Route, webhooks [][][]string) bool {
	if len(route.MatcherSets) > 0 && !slices.ContainsFunc(route.MatcherSets, mayBePost) {
		return false
	}
	paths := pathsOf(route)
	return len(paths) == 0 || slices.ContainsFunc(webhooks, func(levels [][]string) bool {
		return !slices.ContainsFunc(levels, func(level []string) bool { return !overlap(level, paths) })
	})
}

func mayBePost(set caddyhttp.MatcherSet) bool {
	return !slices.ContainsFunc(set, func(m any) bool {
		methods, ok := m.(*caddyhttp.MatchMethod)
		return ok && !slices.Contains(*methods, http.MethodPost)
	})
}

// pathsOf returns the paths that a route matches, none if it may match any.
func pathsOf(route *caddyhttp.Route) (all []string) {
	for _, set := range route.MatcherSets {
		before := len(all)
		for _, m := range set {
			if paths, ok := m.(*caddyhttp.MatchPath); ok {
				all = append(all, *paths...)
			}
		}
		if len(all) == before {
			return nil
		}
	}
	return all
}

// overlap reports whether a path may match a pattern of both lists. Of those that do not end with their only star it
// is not known.
func overlap(first, second []string) bool {
	return slices.ContainsFunc(first, func(a string) bool {
		a, openA := strings.CutSuffix(strings.ToLower(a), "*")
		return slices.ContainsFunc(second, func(b string) bool {
			b, openB := strings.CutSuffix(strings.ToLower(b), "*")
			return strings.ContainsAny(a+b, "*?[{%") || a == b ||
				openA && strings.HasPrefix(b, a) || openB && strings.HasPrefix(a, b)
		})
	})
}

// describe adds the hosts and paths of a route, and the names of its other matchers, to those that lead there.
func describe(above []string, route *caddyhttp.Route) []string {
	all := slices.Clone(above)
	for _, set := range route.MatcherSets {
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHost:
				all = append(all, strings.Join(*m, ","))
			case *caddyhttp.MatchPath:
				all = append(all, strings.Join(*m, ","))
			default:
				all = append(all, "@"+nameOf(m))
			}
		}
	}
	return all
}
