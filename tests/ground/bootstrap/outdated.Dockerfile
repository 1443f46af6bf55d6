# Packages as they were at Debian 12's last point release, without the security updates since:
# a scan finds vulnerabilities here that have a fix.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends --allow-downgrades libexpat1/bookworm perl-base/bookworm \
 && rm -rf /var/lib/apt/lists/*
CMD ["bash"]
