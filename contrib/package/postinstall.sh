#!/bin/sh
# After the installation and after each upgrade, of the .deb and of the .rpm.
set -e

getent group caddy-instagram >/dev/null || groupadd --system caddy-instagram
getent passwd caddy-instagram >/dev/null ||
	useradd --system --gid caddy-instagram --home-dir /var/lib/caddy-instagram --no-create-home \
		--shell /usr/sbin/nologin --comment "Instagram webhooks for Caddy" caddy-instagram

# The secrets: root writes them, and only the gateway reads them.
chown root:caddy-instagram /etc/caddy-instagram/environment
chmod 0640 /etc/caddy-instagram/environment

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart caddy-instagram.service # an upgrade, if it runs
fi
