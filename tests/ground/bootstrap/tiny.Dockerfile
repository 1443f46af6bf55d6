# A shell and a few tools in 6 MB, for tests that save many images.
FROM debian:bookworm-slim AS debian
RUN set -eu; mkdir -p /tiny/bin /tiny/etc /tiny/tmp; chmod 1777 /tiny/tmp; \
    for name in sh cat chmod chown cp env find id ln ls mkdir mknod mv rm rmdir sha256sum sleep sort stat touch; do \
      program=$(command -v "$name"); \
      cp -L "$program" "/tiny/bin/$name"; \
      ldd "$program" | grep -o '/[^ ]*' | xargs cp -L --parents --update --target-directory /tiny; \
    done; \
    cp /etc/passwd /etc/group /tiny/etc/
FROM scratch
COPY --from=debian /tiny/ /
ENV PATH=/bin
CMD ["sh"]
