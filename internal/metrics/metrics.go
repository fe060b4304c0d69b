// Package metrics registers collectors that outlive the config they count for.
package metrics

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers collectors with the registry of a config. Caddy makes a
// new registry for each config, while collectors are kept at package level, so
// that counts go on over a reload: a second handler in the same config finds
// them there already, which is no error.
func Register(registry *prometheus.Registry, collectors ...prometheus.Collector) error {
	for _, collector := range collectors {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(collector); err != nil && !errors.As(err, &already) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}
