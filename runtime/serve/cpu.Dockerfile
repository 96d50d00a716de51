# retinexrt serve on a CPU.
#   docker build -f runtime/serve/cpu.Dockerfile -t retinexrt .
#   docker run --rm -p 127.0.0.1:8000:8000 retinexrt
FROM python:3.13-slim-trixie

# What OpenCV's wheel expects of the system, and a user without rights.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1=1.* libglib2.0-0t64=2.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-create-home --uid 10001 retinexrt

WORKDIR /source
COPY . .
RUN python -m pip install --no-cache-dir --constraint constraints.txt ".[cpu,serve,heic]"

USER 10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/networks', timeout=5)"]
ENTRYPOINT ["retinexrt", "serve", "--host", "0.0.0.0"]
