# Builds the images of all services: docker build --build-arg SERVICE=search .
FROM python:3.13-slim AS wheels
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements-build.lock VERSION ./
RUN python3 -m venv venv && venv/bin/python -m pip install --no-deps --require-hashes -r requirements-build.lock
COPY shared shared
COPY services services
COPY cli cli
RUN venv/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels \
    ./shared ./services/ingest ./services/search ./services/notify ./services/operations ./cli

FROM python:3.13-slim AS venv
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv --without-pip /app/venv
COPY requirements-run.lock ./
RUN python3 -m pip --python /app/venv/bin/python install --require-hashes -r requirements-run.lock
COPY --from=wheels /wheels /wheels
RUN python3 -m pip --python /app/venv/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim
ARG SERVICE
ENV SERVICE=${SERVICE} PATH=/app/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=venv /app/venv /app/venv
# A new volume takes over the owner of the folder that it is mounted on.
RUN install -d -o 10001 -g 10001 -m 0750 /media /archive && install -d -o 10001 -g 10001 -m 0700 /stream-relay
# A numeric user needs no account, and Kubernetes' runAsNonRoot can check it.
USER 10001:10001
EXPOSE 8000
CMD ["sh", "-c", "exec newswire serve \"$SERVICE\" --host 0.0.0.0 --port 8000"]
