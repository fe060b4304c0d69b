// Package harness starts what the end-to-end tests need, in processes and on
// ports of their own, and waits for what they expect:
//
//   - [Caddy] is ./cmd/caddy with a Caddyfile. [NewCaddy] serves plain HTTP,
//     [NewSecured] a name with a certificate from a local ACME server.
//   - [App] is the application behind it. It answers as the [Rule]s of the test
//     say and remembers every request as an [Attempt].
//   - [PHP] is a real php-fpm.
//   - [Client] and [NewDelivery] send what Meta sends, over each [Protocol].
//   - [Ledger] records what was acknowledged, and [Load] keeps many senders
//     busy, for tests in which Caddy, its disk ([Volume]) or the way to its
//     database ([Network]) fails.
//
// A test reads from top to bottom:
//
//	func TestQueueRetries(t *testing.T) {
//		t.Parallel()
//		app := harness.StartApp(t)
//		app.Behave(harness.Rule{Times: 2, Status: 500})
//		caddy := harness.NewCaddy(t)
//		caddy.ServeQueue(t, harness.QuickRetry+"reverse_proxy "+app.Addr)
//		caddy.Deliver(t, harness.Messages("c.0"), http.StatusOK)
//		app.WaitDelivered(t, 1)
//		caddy.WaitMetric(t, caddy.Gauge("pending_events"), 0)
//	}
//
// Whatever is started ends with the test, and its output is logged if the test
// failed. A data race or a panic in Caddy fails the test. Nothing sleeps: [Wait]
// is the only way to wait, and [Timeout] bounds it.
//
// The tests run in parallel. They take ports from [FreePort] and files from
// [Caddy.Out] and [Caddy.Write], and change nothing that they share.
package harness
