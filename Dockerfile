# The service with CPU torch; answers on port 8000. Data, models and the SQLite database live in /data.
FROM python:3.11-slim

WORKDIR /app
RUN python -m pip install --no-cache-dir uv==0.13.9
COPY requirements.lock ./
RUN uv pip install --system --no-cache --compile-bytecode --torch-backend cpu -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY attention_core attention_core
COPY context context
COPY domain domain
COPY fovea fovea
COPY generation generation
COPY ingestion ingestion
COPY migrations migrations
COPY retrieval retrieval
COPY service service
COPY samples samples
RUN uv pip install --system --no-cache --no-deps . && useradd --create-home fovea && mkdir /data && chown fovea /data

USER fovea
ENV FOVEA_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["fovea", "serve", "--host", "0.0.0.0", "--port", "8000"]
