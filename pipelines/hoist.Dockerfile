# The same stages as rust.Dockerfile, and the same first lines, so that an engine which has built one keeps the tools.
FROM rust:1.95-bookworm AS tools
RUN cargo install --locked --no-default-features cargo-chef@0.1.78 cargo-nextest@0.9.151
RUN printf '[profile.default.junit]\npath = "/reports/unit.xml"\n' > /etc/nextest.toml
WORKDIR /src

FROM tools AS recipe
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

FROM tools AS test-deps
COPY --from=recipe /recipe.json /
RUN cargo chef cook --locked --tests --package=hoist-model --package=hoist-engine --package=hoist-report --recipe-path /recipe.json

FROM test-deps AS test
RUN mkdir /reports
COPY . .
RUN cargo nextest run --locked --no-run --package=hoist-model --package=hoist-engine --package=hoist-report

FROM tools AS deps
COPY --from=recipe /recipe.json /
RUN cargo chef cook --locked --release --package=hoist-ci --recipe-path /recipe.json

FROM deps AS build
COPY . .
RUN cargo build --locked --release --package=hoist-ci

# Runs as root, as tools do that are given the engine's socket; the socket makes any user root on its host.
FROM debian:bookworm-slim AS production
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/hoist /usr/local/bin/hoist
ENTRYPOINT ["hoist"]
CMD ["help"]
