package caddyfile
