#!/bin/sh
# Before the package is removed, but not before an upgrade: dpkg says "upgrade", and rpm
# how many versions stay.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now caddy-instagram.service || true
	fi
	;;
esac
