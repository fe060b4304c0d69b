#!/bin/sh
# After the installation and after each upgrade, of the .deb and of the .rpm.
set -e

getent group caddy-instagram >/dev/null || groupadd --system caddy-instagram
getent passwd caddy-instagram >/dev/null ||
	useradd --system --gid caddy-instagram --home-dir /var/lib/caddy-instagram --no-create-home \
		--shell /usr/sbin/nologin --comment "Instagram webhooks for Caddy" caddy-instagram

# The secrets: root writes them, and only the gateway reads them. The file is packed as
# root's, because the group may be new. What an operator has changed or deleted stays so.
environment=/etc/caddy-instagram/environment
if [ -f "$environment" ] && [ "$(stat -c '%a %U:%G' "$environment")" = "640 root:root" ]; then
	chgrp caddy-instagram "$environment"
fi

# The queue and the certificates. An upgrade leaves them as they are.
[ -d /var/lib/caddy-instagram ] ||
	install -d -m 0750 -o caddy-instagram -g caddy-instagram /var/lib/caddy-instagram

# An upgrade: if the new program does not start, systemctl says so, and the package is
# installed all the same.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-restart caddy-instagram.service || true
fi
