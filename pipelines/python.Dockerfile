ARG PYTHON=3.13

# What the service needs to run, out of requirements.txt, else out of pyproject.toml.
FROM python:${PYTHON}-slim-bookworm AS deps
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app:/app/src
# The image's own pip fills the environment, so that none is left in it to run or to patch.
RUN python3 -m venv --without-pip /venv
COPY requirements.tx[t] pyproject.tom[l] ./
RUN test -f requirements.txt || python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb')).get('project', {}).get('dependencies', []), sep='\n')" > requirements.txt
RUN pip --python /venv/bin/python install --no-cache-dir -r requirements.txt

# The same and the test tools. Pin yours in requirements-test.txt; without it, the newest pytest is used.
FROM deps AS test
COPY requirements-test.tx[t] ./
RUN test -f requirements-test.txt || echo pytest > requirements-test.txt
RUN pip --python /venv/bin/python install --no-cache-dir -r requirements-test.txt
RUN install --directory --owner=10001 --group=10001 /reports
COPY . .
USER 10001:10001
CMD ["pytest"]

# What is scanned and deployed.
FROM python:${PYTHON}-slim-bookworm AS production
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app:/app/src
COPY --from=deps /venv /venv
COPY . .
USER 10001:10001
EXPOSE 8000
# Your service's own command goes here.
CMD ["python", "-m", "app"]
