# One image for every process of the service; the command says which: api, scheduler, worker, migrate …
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# Every file that the lock names, checked against its hash. From here on nothing comes from outside: the
# installation below chooses from these files, and takes what the service needs and no development tool.
COPY requirements.lock ./
RUN pip download --require-hashes --no-deps --only-binary=:all: --dest /wheels --requirement requirements.lock

ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
COPY pyproject.toml README.md LICENSE gunicorn.conf.py ./
COPY bayesian_jobs/ bayesian_jobs/
COPY alembic/ alembic/
COPY default_jobs/ default_jobs/
RUN pip install hatchling \
 && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m venv /opt/bayesian-jobs \
 && /opt/bayesian-jobs/bin/pip install "bayesian-jobs[redis,rabbitmq]" \
 && /opt/bayesian-jobs/bin/pip check
COPY examples/ /opt/bayesian-jobs/examples/


FROM python:${PYTHON_VERSION}-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/bayesian-jobs --create-home --shell /usr/sbin/nologin jobs \
 && install --directory --owner=jobs /var/lib/bayesian-jobs/core-results
COPY --from=build /opt/bayesian-jobs /opt/bayesian-jobs
ENV PATH=/opt/bayesian-jobs/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    JOBS_DATA_DIR=/var/lib/bayesian-jobs
USER 10001
WORKDIR /var/lib/bayesian-jobs
STOPSIGNAL SIGTERM
ENTRYPOINT ["bayesian-jobs"]
CMD ["--help"]
