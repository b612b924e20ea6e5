# churnhouse-ml: dbt and the jobs, as one command.
#
#   docker build -f docker/Dockerfile.ml -t churnhouse-ml .        (or `make images`)
#   docker run --rm --read-only --tmpfs /tmp -v churnhouse:/data churnhouse-ml run
#
# It writes only to /data (CHURNHOUSE_HOME, kept) and /tmp (scratch, not kept). Everything else may
# be read-only. Mount your own domains at /domains, one folder each.
ARG PYTHON=python:3.11-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84

# Dependencies are a separate layer, so that releases can share it. Their environment has no pip.
# requirements-mlflow.lock in its place adds MLflow, client and server (docker-compose.yml, profile mlflow).
FROM ${PYTHON} AS dependencies
ARG LOCK=docker/requirements-ml.lock
COPY ${LOCK} /locks/requirements.lock
RUN python3 -m venv --without-pip /app/.venv \
    && python3 -m pip --python /app/.venv/bin/python install --require-hashes \
        -r /locks/requirements.lock

FROM dependencies AS project
COPY docker/requirements-build.lock /locks/
RUN python3 -m pip --python /app/.venv/bin/python install --require-hashes \
        -r /locks/requirements-build.lock
# only what .dockerignore allows
COPY . /source
RUN python3 -m pip --python /app/.venv/bin/python install --no-deps --no-build-isolation \
        --target /project /source

FROM ${PYTHON}
RUN groupadd --gid 10001 churnhouse \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp \
        --shell /usr/sbin/nologin churnhouse \
    && mkdir -p /data/published /data/contacts /domains \
    && chown -R 10001:10001 /data
COPY --from=dependencies /app/.venv /app/.venv
COPY --from=project /project /app
COPY LICENSE /app/
# Libraries keep their caches below HOME. onnxruntime sends telemetry unless told not to.
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
# A job ends by itself; its exit code is its result.
HEALTHCHECK NONE
ENTRYPOINT ["churnhouse"]
CMD ["--help"]
ARG VERSION=unknown
ARG COMMIT=unknown
# Older buildah versions reuse cached ENV and LABEL of another commit; a RUN with the commit stops that.
RUN : "${COMMIT}"
# training records this commit in the model's manifest
ENV CHURNHOUSE_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="churnhouse-ml" \
    org.opencontainers.image.description="Churnhouse's jobs: dbt, training, scoring, publishing" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${COMMIT}"
