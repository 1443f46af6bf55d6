# Debian's HAProxy and the libraries that it needs, without a shell; user and signal as in the official
# image.
FROM debian:bookworm-slim AS debian
RUN apt-get update \
 && apt-get install --yes --no-install-recommends haproxy \
 && mkdir -p /proxy/etc /proxy/var/lib/haproxy \
 && chown 99:99 /proxy/var/lib/haproxy \
 && echo 'haproxy:x:99:99::/var/lib/haproxy:/bin/false' >/proxy/etc/passwd \
 && echo 'haproxy:x:99:' >/proxy/etc/group \
 && ldd /usr/sbin/haproxy | grep -o '/[^ ]*' | xargs cp -L --parents --target-directory /proxy /usr/sbin/haproxy
FROM scratch
COPY --from=debian /proxy/ /
ENV PATH=/usr/sbin
USER haproxy
WORKDIR /var/lib/haproxy
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
