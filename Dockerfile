# The editor's CodeMirror; npm stays behind in this stage.
FROM debian:bookworm-slim AS front-end

RUN apt-get update && apt-get install -y --no-install-recommends npm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app/front_end
COPY front_end .
RUN npm ci --ignore-scripts --no-audit --no-fund && npm run build

# One image for web and worker. The worker's tools are Debian's own: the same qemu-img,
# ovs-vsctl and ip that a testbed host runs.
FROM debian:bookworm-slim

RUN apt-get update && apt-get install -y --no-install-recommends \
        python3-venv python3-dev pkg-config gcc libc6-dev libvirt-dev libldap-dev libsasl2-dev libvirt-clients \
        qemu-utils openvswitch-common openvswitch-switch openssh-client openssl iproute2 nftables ethtool \
        git procps iputils-ping tcpdump ca-certificates \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.lock .
RUN python3 -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        -r requirements.lock
COPY . .
COPY --from=front-end /app/static/vendor static/vendor
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 TESTBED_DATA_DIR=/var/lib/testbed
RUN useradd --system --uid 10001 --no-create-home testbed \
    && TESTBED_DATA_DIR=/tmp/build python manage.py collectstatic --noinput \
    && rm -rf /tmp/build
USER testbed
EXPOSE 8000
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "--proxy-headers", \
     "--verbosity", "0", "--websocket_connect_timeout", "60", "testbed.asgi:application"]
