# Stands in for the official image; the context is this machine's Go.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make pkg-config git \
 && rm -rf /var/lib/apt/lists/*
COPY VERSION go.env /usr/local/go/
COPY bin /usr/local/go/bin
COPY lib /usr/local/go/lib
COPY pkg /usr/local/go/pkg
COPY src /usr/local/go/src
ENV GOPATH=/go GOTOOLCHAIN=local PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN mkdir -p /go/src /go/bin && chmod -R 1777 /go
WORKDIR /go
