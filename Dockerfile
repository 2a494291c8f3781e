# Celeriac with the examples, for docker-compose.yml. An image of your own needs `pip install celeriac` and your modules.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY celeriac celeriac
COPY workflows workflows
COPY worker worker
COPY beat beat
COPY docs docs
RUN python -m venv /opt/celeriac && /opt/celeriac/bin/pip install --no-cache-dir --constraint constraints.txt ".[flower]"

FROM python:3.13-slim
RUN useradd --create-home celeriac
COPY --from=build /opt/celeriac /opt/celeriac
COPY examples /app/examples
ENV PATH=/opt/celeriac/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1
WORKDIR /app
USER celeriac
