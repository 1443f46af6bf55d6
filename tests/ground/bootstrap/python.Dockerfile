# Stands in for the official image: python and pip under /usr/local, packages in its site-packages.
FROM debian:bookworm-slim
ENV LANG=C.UTF-8
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-pip python3-venv python3-setuptools python3-wheel netbase \
 && rm -rf /var/lib/apt/lists/* /usr/lib/python3.11/EXTERNALLY-MANAGED \
 && cd /usr/local/bin \
 && ln -s /usr/bin/python3.11 python && ln -s python python3 && ln -s python python3.11 \
 && ln -s /usr/bin/pip3 pip && ln -s pip pip3 \
 && mkdir -p ../lib/python3.11/site-packages \
 && rm -rf ../lib/python3.11/dist-packages && ln -s site-packages ../lib/python3.11/dist-packages \
 && printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nroot-user-action = ignore\ndisable-pip-version-check = true\n' >/etc/pip.conf
CMD ["python3"]
