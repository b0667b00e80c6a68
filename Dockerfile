# One image for all components: adaptor, shim-proxy, webhook, controller and the clean-up. For amd64, arm64 and s390x:
#   docker buildx build --platform linux/amd64,linux/arm64,linux/s390x .
# `make image` gives bases that were made from Debian packages where no registry is reached, and a context that has the bundle
# already.
ARG NODE=docker.io/library/node:24-bookworm-slim
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${NODE} AS build
WORKDIR /opt/cloud-api-adaptor
COPY . .
RUN test -d dist || { npm ci --no-audit --no-fund && node deploy/bundle/main.ts; }
RUN mkdir /tmp/program && cp -r --parents dist/program dist/THIRD-PARTY-NOTICES package.json $(find providers -name '*.sh') /tmp/program && \
    mv deploy/image /tmp/image

FROM ${BASE}
# ip and tc, iptables, nsenter (of util-linux), authorities of clouds. Kernel modules are loaded by the node's own modprobe, on the
# kernel's call.
RUN if ! command -v ip >/dev/null || ! command -v iptables >/dev/null || ! test -d /etc/ssl/certs; then \
      apt-get update && \
      apt-get install -y --no-install-recommends ca-certificates iproute2 iptables libatomic1 libstdc++6 openssh-client util-linux && \
      rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/* /usr/share/doc/* /usr/share/man/*; \
    fi
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /tmp/program /opt/cloud-api-adaptor
COPY --from=build /tmp/image/cloud-api-adaptor /usr/local/bin/cloud-api-adaptor
# Controller and webhook run as 65532, and OpenSSH (a KVM host's) works for users with a name only.
# entrypoint.sh is what the DaemonSet of the Go adaptor runs: without an argument, CLOUD_PROVIDER names the provider.
RUN --mount=type=bind,from=build,source=/tmp/image,target=/tmp/image \
    echo 'peerpods:x:65532:65532::/nonexistent:/usr/sbin/nologin' >>/etc/passwd && \
    ln -s cloud-api-adaptor /usr/local/bin/entrypoint.sh && /tmp/image/warm.sh && cloud-api-adaptor version

ENTRYPOINT ["/usr/local/bin/cloud-api-adaptor"]
