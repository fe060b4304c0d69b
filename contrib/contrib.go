// Package contrib holds what belongs to the operation of a gateway besides the program:
// the systemd unit and the files of the packages, a dashboard, alert rules, and filters.
package contrib

import _ "embed"

// Unit is the systemd unit of the packages.
//
//go:embed package/caddy-instagram.service
var Unit string
