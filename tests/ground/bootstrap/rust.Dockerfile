# Stands in for the official image; the context is this machine's toolchain, so there is no rustup in it.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make pkg-config libssl-dev git curl \
 && rm -rf /var/lib/apt/lists/*
COPY bin /usr/local/cargo/bin
COPY lib /usr/local/cargo/lib
COPY libexec /usr/local/cargo/libexec
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN chmod -R a+w /usr/local/cargo/bin && rustc --version && cargo --version
