# Stands in for the official image: data in /data, root gives its rights away before the server starts,
# and no protected mode, since a container's network is already its own.
FROM debian:bookworm-slim
RUN groupadd --system --gid 999 redis \
 && useradd --system --gid redis --uid 999 --home-dir /data redis \
 && apt-get update \
 && apt-get install --yes --no-install-recommends redis-server \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /data && chown redis:redis /data
RUN printf '%s\n' '#!/bin/sh' 'set -e' \
  'case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac' \
  'if [ "$1" = redis-server ]; then' \
  '  shift' \
  '  case ${1:-} in *.conf) file=$1; shift; set -- "$file" --protected-mode no "$@" ;; *) set -- --protected-mode no "$@" ;; esac' \
  '  set -- redis-server "$@"' \
  '  if [ "$(id -u)" = 0 ]; then' \
  '    find /data ! -user redis -exec chown redis "{}" +' \
  '    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"' \
  '  fi' \
  '  umask 0077' \
  'fi' \
  'exec "$@"' >/usr/local/bin/docker-entrypoint.sh \
 && chmod 0755 /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
