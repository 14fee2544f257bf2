# dubwright with its models, for Docker and Kubernetes work pools: docs/many-machines.md.
#
#   docker build -t dubwright .
#   docker run --rm -v "$PWD:/data" -w /data dubwright dubwright translate lecture.mp4 --to pt-BR
FROM python:3.11-slim-bookworm AS build
# pyworld is built from its source
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++
WORKDIR /opt/dubwright
COPY pyproject.toml constraints.txt README.md LICENSE THIRD_PARTY.md ./
COPY configs configs
COPY language_packs language_packs
COPY stages stages
COPY flows flows
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --quiet --no-cache-dir "pip>=25.1" \
 && /opt/venv/bin/pip install --quiet --no-cache-dir --constraint constraints.txt ".[dask,readers,s3]"
RUN DUBWRIGHT_MODELS=/opt/models /opt/venv/bin/dubwright models fetch && chmod -R a+rX /opt/models

FROM python:3.11-slim-bookworm
# more target languages: es ca gl fr it
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends \
      apertium apertium-es-pt apertium-por-cat apertium-pt-gl apertium-es-gl apertium-fra-cat apertium-fr-es \
      apertium-spa-ita apertium-spa-cat \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/models /opt/models
ENV PATH=/opt/venv/bin:$PATH \
    DUBWRIGHT_MODELS=/opt/models \
    DUBWRIGHT_WORK=/work \
    PREFECT_SERVER_ANALYTICS_ENABLED=false

# Nothing runs as root. /work is a volume where finished stages are to outlive a container without a shared store.
RUN useradd --create-home --uid 1000 dubwright && install -d -o dubwright /work
USER dubwright
WORKDIR /home/dubwright
VOLUME /work
CMD ["dubwright", "--help"]
