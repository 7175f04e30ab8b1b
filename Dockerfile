# The StreamGuard service: exactly the locked versions, no compiler, no shell tools of its own, not root.
#
#   docker build -t streamguard .
#   docker run --rm -v ./streamguard.yaml:/etc/streamguard/streamguard.yaml:ro … streamguard

FROM python:3.12-slim AS build
WORKDIR /src
# Packages change less often than the code: their layers come first.
COPY requirements/uv.txt requirements/build.txt requirements/runtime.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/uv.txt -r requirements/build.txt \
 && python -m venv --without-pip /opt/streamguard \
 && uv pip sync --no-cache --python /opt/streamguard/bin/python --require-hashes requirements/runtime.txt
COPY LICENSE README.md pyproject.toml ./
COPY streamguard streamguard
RUN python -m hatchling build --target wheel --directory /wheel \
 && uv pip install --no-cache --offline --python /opt/streamguard/bin/python --no-deps /wheel/*.whl

FROM python:3.12-slim
LABEL org.opencontainers.image.title="StreamGuard" \
      org.opencontainers.image.description="A real-time privacy filter for Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"
# The id is a number so that Kubernetes can check runAsNonRoot. New volumes mounted on these two folders take their owner.
RUN groupadd --gid 10001 streamguard \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/streamguard streamguard \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/streamguard /var/lib/streamguard/keys /var/lib/streamguard/store
COPY --from=build /opt/streamguard /opt/streamguard
ENV PATH=/opt/streamguard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /etc/streamguard
# SIGTERM: the service ends its transaction and leaves its group before it goes.
STOPSIGNAL SIGTERM
ENTRYPOINT ["streamguard"]
CMD ["run", "--config", "/etc/streamguard/streamguard.yaml"]
