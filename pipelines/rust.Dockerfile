# cargo-chef compiles dependencies apart from the source; cargo-nextest writes JUnit. Compiled once, then kept.
FROM rust:1.95-bookworm AS tools
RUN cargo install --locked --no-default-features cargo-chef@0.1.78 cargo-nextest@0.9.151
RUN printf '[profile.default.junit]\npath = "/reports/unit.xml"\n' > /etc/nextest.toml
WORKDIR /src

# What of the source decides about dependencies: the manifests, and no code.
FROM tools AS recipe
COPY . .
RUN cargo chef prepare --recipe-path /recipe.json

# The dependencies, compiled. They change only with Cargo.toml and Cargo.lock.
FROM tools AS deps
COPY --from=recipe /recipe.json /
RUN cargo chef cook --locked --workspace --tests --recipe-path /recipe.json
RUN cargo chef cook --locked --workspace --release --recipe-path /recipe.json

# The tests, compiled, so that the sealed step only runs them.
FROM deps AS test
RUN mkdir /reports
COPY . .
RUN cargo nextest run --workspace --locked --no-run
CMD ["cargo", "nextest", "run", "--workspace", "--offline"]

FROM deps AS build
# Which binary, if the project has several: `build.args` in pipeline.toml sets it.
ARG BIN
COPY . .
RUN cargo build --locked --release ${BIN:+--bin "$BIN"}
RUN cp "$(find target/release -maxdepth 1 -type f -executable -name "${BIN:-*}" ! -name '*.so')" /usr/local/bin/app

# What is scanned and deployed: the binary, and the certificates that it needs to call others.
FROM debian:bookworm-slim AS production
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/bin/app /usr/local/bin/app
USER 10001:10001
EXPOSE 8000
CMD ["app"]
