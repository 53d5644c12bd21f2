# mien serve with YuNet, without torch, as an unprivileged user. Nothing is written: run it with --read-only. See docs/how-to/serve.md.
FROM python:3.12-slim

COPY . /source
RUN pip install --no-cache-dir -c /source/constraints.txt '/source[serve]' && rm -rf /source
RUN useradd --no-create-home mien
USER mien

EXPOSE 8000
# http.client, as urllib would ask a proxy for 127.0.0.1 where the container was given one
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["python", "-c", "from http.client import HTTPConnection as H; h = H('127.0.0.1', 8000, timeout=4); h.request('GET', '/healthz'); raise SystemExit(h.getresponse().status != 200)"]
ENTRYPOINT ["mien", "serve", "--host", "0.0.0.0", "--port", "8000"]
