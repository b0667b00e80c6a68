# One image for both DaemonSets: the adaptor (control plane) and the shim-proxy (data plane).
# The base is Debian-like with Node 24. `make image` gives one that was made from Debian packages where no registry is reached,
# and a context that has the npm packages already; `docker build .` works where base, packages and npm's registry can be had.
ARG BASE=docker.io/library/node:24-bookworm-slim
FROM ${BASE}

RUN if ! command -v ip >/dev/null || ! command -v iptables >/dev/null; then \
      apt-get update && apt-get install -y --no-install-recommends ca-certificates iproute2 iptables && \
      rm -rf /var/lib/apt/lists/*; \
    fi

WORKDIR /opt/cloud-api-adaptor
COPY . .
RUN test -d node_modules || npm ci --omit=dev --omit=optional

# entrypoint.sh is what the DaemonSet of the Go adaptor runs: without an argument, CLOUD_PROVIDER names the provider.
RUN ln -s /opt/cloud-api-adaptor/bin/cloud-api-adaptor /usr/local/bin/cloud-api-adaptor && \
    ln -s cloud-api-adaptor /usr/local/bin/entrypoint.sh && \
    cloud-api-adaptor version

ENTRYPOINT ["/usr/local/bin/cloud-api-adaptor"]
