# mien serve, without torch, as an unprivileged user. Nothing is written: run it with --read-only. See docs/serve.md.
FROM python:3.12-slim

COPY . /source
RUN pip install --no-cache-dir -c /source/constraints.txt '/source[serve]' && rm -rf /source
RUN useradd --no-create-home mien
USER mien

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["mien", "serve", "--host", "0.0.0.0", "--port", "8000"]
