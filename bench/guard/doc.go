// Package guard holds tests that fail when a hot path has become much slower.
// They compare what the CPU spends on it with what it spends on a yardstick, in
// turns and in one process, so that neither the machine nor what else runs on it
// matters much. What the paths really cost is measured by the command bench.
package guard
