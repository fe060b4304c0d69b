#!/bin/sh
# After the package was removed. The queue stays: what waits in it cannot be asked for
# again.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
case "$1" in
remove | purge | 0)
	if [ -d /var/lib/caddy-instagram ]; then
		echo "The queue and the certificates are still in /var/lib/caddy-instagram. Remove the directory if nobody needs them."
	fi
	;;
esac
