# The modules. They change only with go.mod and go.sum.
FROM golang:1.26-bookworm AS deps
WORKDIR /src
COPY go.mod go.su[m] ./
RUN go mod download

# Everything compiled into Go's cache, so that the sealed step only links and runs.
FROM deps AS test
RUN GOBIN=/usr/local/bin go install gotest.tools/gotestsum@v1.13.0
RUN mkdir /reports
COPY . .
RUN go vet ./... && go test -run='^$' ./...
CMD ["gotestsum", "./..."]

FROM deps AS build
# Where package main is: for example ./cmd/server. `build.args` in pipeline.toml sets it.
ARG PACKAGE=.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /out/app "$PACKAGE"

# What is scanned and deployed: one static binary, and the certificates that it needs to call others.
FROM debian:bookworm-slim AS production
COPY --from=deps /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/app /usr/local/bin/app
USER 10001:10001
EXPOSE 8000
CMD ["app"]
