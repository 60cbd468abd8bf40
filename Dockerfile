# One image for every part; docker-compose.yml says which part a container is. docs/running.md, "Containers".
ARG BASE_IMAGE=debian:12
FROM ${BASE_IMAGE}

# No service starts in a build; the kernel is unpacked by opsweb.launch.container.
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        python3 python3-venv libarchive13 redis-server qemu-system-x86 qemu-utils nftables dnsmasq-base busybox-static iproute2 \
        ca-certificates

WORKDIR /opt/opsweb
COPY requirements.lock package.json package-lock.json .npmrc ./
RUN /usr/bin/python3 -m venv .venv \
    && .venv/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements.lock

COPY opsweb/ opsweb/
COPY instances/ instances/
COPY networks/ networks/
COPY templates/ templates/
COPY static/ static/
COPY manage.py pyproject.toml CHANGELOG.md LICENSE ./
RUN /usr/bin/python3 -B -c "from pathlib import Path; from opsweb.launch import vendor; vendor.ensure(Path('/opt/opsweb'))" \
    && rm -rf node_modules build \
    && .venv/bin/python -m compileall -q opsweb instances networks \
    && .venv/bin/python -m opsweb.launch.container build \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/opsweb/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    DJANGO_SETTINGS_MODULE=opsweb.settings \
    OPSWEB_KERNEL=/usr/share/opsweb/kernel \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
USER opsweb
