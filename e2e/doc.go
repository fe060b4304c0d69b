// Package e2e tests the plugin from outside, with real parts: see the tests.
package e2e
