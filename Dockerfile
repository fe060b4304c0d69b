# A Caddy with the plugin, in an image that holds nothing else: the program is static, and
# needs neither root nor a root that can be written to. The queue, the certificates and
# what instagram_file writes belong on /data.
#
#   docker build --tag caddy-instagram --build-arg VERSION="$(git describe --always)" .
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=unreleased
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /caddy \
		-trimpath -buildvcs=false -tags nobadger,nomysql,nopgx \
		-ldflags "-s -w -X 'github.com/caddyserver/caddy/v2.CustomVersion=caddy-instagram $VERSION, Caddy'" \
		./cmd/caddy \
	&& mkdir /empty

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /empty /data
COPY --from=build --chown=65532:65532 /empty /config
COPY contrib/package/Caddyfile /etc/caddy/
COPY --from=build /caddy /usr/bin/
ENV PATH=/usr/bin HOME=/data XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config
USER 65532:65532
WORKDIR /data
VOLUME /data /config
EXPOSE 80 443 443/udp
# It asks the admin API, and fails if that does not answer or a queue cannot be read. After an
# upgrade, a start may take as long as the queue takes to be copied; the first success ends it.
HEALTHCHECK --start-period=15m --interval=10s --timeout=5s CMD ["caddy", "instagram", "queue", "status", "--json"]
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
