# One recipe for the three services: docker build --build-arg SERVICE=search .
FROM python:3.13-slim AS build
WORKDIR /app
RUN python3 -m venv /app/venv
COPY requirements.lock ./
RUN /app/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY shared shared
COPY services services
COPY cli cli
RUN /app/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation \
    ./shared ./services/ingest ./services/search ./services/notify ./cli

FROM python:3.13-slim
ARG SERVICE
ENV SERVICE=${SERVICE} PATH=/app/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /app/venv /app/venv
# A number needs no account, and Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
EXPOSE 8000
CMD ["sh", "-c", "exec newswire serve \"$SERVICE\" --host 0.0.0.0 --port 8000"]
