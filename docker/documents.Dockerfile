# Files, vector stores and their search: no PyTorch, no engine. Build from the repository's root:
#   docker build -f docker/documents.Dockerfile -t kodolly-documents .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
# A package index of your own, for both: docs/deployment.md, "In a company's network".
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
RUN python3 -m venv /build/uv && /build/uv/bin/pip install --quiet "uv>=0.9,<1"
RUN /build/uv/bin/uv venv --quiet --python "$(command -v python3)" /srv/kodolly
COPY locks/documents.txt /build/
RUN /build/uv/bin/uv pip install --quiet --python /srv/kodolly --compile-bytecode --no-deps -r /build/documents.txt \
  && rm -f /srv/kodolly/.lock

# A layer of its own: a new version of kodolly is a few megabytes to pull, not all that it stands on.
FROM dependencies AS own
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
WORKDIR /build/source
COPY . .
RUN /build/uv/bin/uv pip install --quiet --python /srv/kodolly --prefix /build/own --compile-bytecode --no-deps .

FROM ${BASE}
# Group 0 may write where the user may: a platform that picks the user itself (OpenShift) gives it that group.
RUN useradd --uid 10001 --user-group --create-home kodolly \
  && chgrp 0 /home/kodolly && chmod 775 /home/kodolly \
  && install -d -o kodolly -g 0 -m 775 /var/lib/kodolly /var/backups/kodolly
# `--build-arg OCR=1` adds tesseract with its Korean model, 27 MB, for KODOLLY_DOCUMENTS_OCR.
ARG OCR
RUN if [ -n "$OCR" ]; then apt-get update -qq \
  && apt-get install -y -qq --no-install-recommends tesseract-ocr tesseract-ocr-kor \
  && rm -rf /var/lib/apt/lists/*; fi
COPY --from=dependencies /srv/kodolly /srv/kodolly
COPY --from=own /build/own /srv/kodolly
COPY docker/entrypoint /usr/local/bin/kodolly-entrypoint
ENV PATH=/srv/kodolly/bin:$PATH PYTHONUNBUFFERED=1 HOME=/home/kodolly USER=kodolly \
  KODOLLY_STATE_DIR=/var/lib/kodolly
USER kodolly
WORKDIR /var/lib/kodolly
EXPOSE 21501
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 \
  CMD ["kodolly", "health"]
ENTRYPOINT ["kodolly-entrypoint"]
CMD ["documents", "serve"]
