# churnhouse-ml: dbt and the jobs, as one command.
#
#   docker build -f docker/Dockerfile.ml -t churnhouse-ml .        (or `make images`)
#   docker run --rm --read-only --tmpfs /tmp -v churnhouse:/data churnhouse-ml run
#
# Written to while it runs: /data (CHURNHOUSE_HOME, kept) and /tmp (scratch, not kept). Everything
# else may be read-only. Domains of one's own are mounted at /domains, one folder each.
ARG PYTHON=python:3.11-slim-bookworm

# The dependencies are a layer of their own, which stays the same from release to release. Their
# environment has no pip.
FROM ${PYTHON} AS dependencies
COPY docker/requirements-ml.lock /locks/
RUN python3 -m venv --without-pip /app/.venv \
    && python3 -m pip --python /app/.venv/bin/python install --require-hashes \
        -r /locks/requirements-ml.lock

FROM dependencies AS project
COPY docker/requirements-build.lock /locks/
RUN python3 -m pip --python /app/.venv/bin/python install --require-hashes \
        -r /locks/requirements-build.lock
# what .dockerignore lets through
COPY . /source
RUN python3 -m pip --python /app/.venv/bin/python install --no-deps --no-build-isolation \
        --target /project /source

FROM ${PYTHON}
RUN groupadd --gid 10001 churnhouse \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp \
        --shell /usr/sbin/nologin churnhouse \
    && mkdir -p /data/published /domains \
    && chown -R 10001:10001 /data
COPY --from=dependencies /app/.venv /app/.venv
COPY --from=project /project /app
COPY LICENSE /app/
# Libraries keep their caches below HOME. onnxruntime reports to its maker unless told not to.
ENV PATH=/app/bin:/app/.venv/bin:$PATH \
    PYTHONPATH=/app \
    CHURNHOUSE_HOME=/data \
    CHURNHOUSE_DOMAINS=/domains \
    HOME=/tmp \
    LANG=C.UTF-8 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
VOLUME ["/data", "/tmp"]
# A job ends by itself, and its exit code tells how it went.
HEALTHCHECK NONE
ENTRYPOINT ["churnhouse"]
CMD ["--help"]
ARG VERSION=unknown
ARG COMMIT=unknown
# an older buildah takes ENV and LABEL of another commit from its cache, but not RUN or what follows it
RUN : "${COMMIT}"
# what a model says about the code that trained it
ENV CHURNHOUSE_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="churnhouse-ml" \
    org.opencontainers.image.description="Churnhouse's jobs: dbt, training, scoring, publishing" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${COMMIT}"
