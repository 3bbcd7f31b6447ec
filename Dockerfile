# The server: `docker build --target cpu .`, or cuda. SERVING.md says how it is run.

FROM debian:trixie-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm --recursive --force /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home cosy \
    && install --directory --owner cosy --group cosy /voices /cache
ENV PATH=/opt/cosy_jax/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COSY_JAX_WEIGHTS=/weights \
    COSY_JAX_VOICES=/voices \
    COSY_JAX_CACHE=/cache
WORKDIR /home/cosy
EXPOSE 8000
# /weights: a converted folder, mounted. /cache is machine code: share it with nobody.
VOLUME ["/voices", "/cache"]
HEALTHCHECK --start-period=5m --interval=30s --timeout=10s \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=9)"]
ENTRYPOINT ["cosy-jax"]
CMD ["serve", "--host", "0.0.0.0", "--api-key-file", "/run/secrets/keys"]

FROM base AS source
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-venv \
    && python3 -m venv /opt/cosy_jax
COPY pyproject.toml README.md LICENSE /src/
COPY conversions /src/conversions
COPY cosy_jax /src/cosy_jax

FROM source AS installed-cpu
RUN /opt/cosy_jax/bin/pip install --no-cache-dir '/src[serve,text]'

FROM source AS installed-cuda
RUN /opt/cosy_jax/bin/pip install --no-cache-dir '/src[serve,text,cuda]'

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=installed-cuda /opt/cosy_jax /opt/cosy_jax
USER cosy

FROM base AS cpu
COPY --from=installed-cpu /opt/cosy_jax /opt/cosy_jax
USER cosy
