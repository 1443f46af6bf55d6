# Stands in for the official image: data in /var/lib/mysql, which root gives away before the server
# starts as mysql; the first start makes the system tables, with the password that a variable or a
# file has.
FROM debian:bookworm-slim
ENV LANG=C.UTF-8
RUN groupadd --system --gid 999 mysql \
 && useradd --system --gid mysql --uid 999 --home-dir /var/lib/mysql --shell /usr/sbin/nologin mysql \
 && apt-get update \
 && apt-get install --yes --no-install-recommends mariadb-server \
 && rm -rf /var/lib/apt/lists/* /var/lib/mysql \
 && printf '[mariadb]\nbind-address = *\nskip-name-resolve\n' >/etc/mysql/mariadb.conf.d/90-container.cnf \
 && mkdir -p /var/lib/mysql /run/mysqld /docker-entrypoint-initdb.d \
 && chown -R mysql:mysql /var/lib/mysql /run/mysqld
COPY mariadb-entrypoint /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/mysql
EXPOSE 3306
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["mariadbd"]
