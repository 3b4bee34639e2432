"""The WSGI application: every route on one screen."""

import falcon

from bayesian_jobs.api import (
    audit,
    dashboard,
    documentation,
    failures,
    flows,
    handlers,
    jobs,
    media,
    metrics,
    openapi,
    problems,
    runs,
    service,
    statistics,
    tokens,
)
from bayesian_jobs.api.authentication import Tokens, Trust
from bayesian_jobs.api.guards import Guards
from bayesian_jobs.api.operation import is_public
from bayesian_jobs.api.rate import Rate
from bayesian_jobs.bootstrap import Services
from bayesian_jobs.domain.caller import ANYBODY
from bayesian_jobs.remote.call import BASE

SHORT_PATHS = (BASE, f"{BASE}/", f"{BASE}/ui")


def create_app(services: Services, trust: Trust | None = None) -> falcon.App[falcon.Request, falcon.Response]:
    """The API over the services' engine and registry; opens no connection before the first request. `trust`: of whom
    it needs no token, whatever the settings say."""
    engine, registry = services.engine, services.registry
    document = documentation.OpenAPI()
    routes: openapi.Routes = {
        "/jobs": jobs.Jobs(engine, registry),
        "/jobs/clean-failed": jobs.FailedJobs(engine),
        "/jobs/{job_id}": jobs.Job(engine, registry),
        "/jobs/{job_id}/runs": runs.JobRuns(engine),
        "/jobs/{job_id}/run": runs.RunNow(engine),
        "/jobs/{job_id}/upcoming": jobs.Upcoming(engine),
        "/jobs/{job_id}/explain": jobs.Explain(engine),
        "/runs": runs.Runs(engine),
        "/runs/{run_id}": runs.Run(engine),
        "/runs/{run_id}/retry": runs.Retry(engine, registry),
        "/runs/{run_id}/cancel": runs.Cancel(engine),
        "/failures": failures.Failures(engine),
        "/statistics": statistics.Statistics(engine),
        "/processes": statistics.Processes(engine),
        "/flows/{flow_id}": flows.Flow(engine),
        "/handlers": handlers.Handlers(registry),
        "/tokens": tokens.Tokens(engine),
        "/tokens/{token_name}": tokens.Token(engine),
        "/audit": audit.Audit(engine),
        "/service/state": service.ServiceState(engine),
        "/readiness": service.Readiness(engine),
        "/liveness": service.Liveness(),
        "/metrics": metrics.Metrics(engine),
        "/openapi.json": document,
        "/ui/": documentation.Page(),
    }
    if trust is None and services.settings.auth == "none":
        trust = Trust(ANYBODY, rate=Rate(services.settings.rate_limit))
    policies = {"/": dashboard.POLICY, dashboard.FILES: dashboard.POLICY, f"{BASE}/ui": documentation.PAGE_POLICY}
    guards = Guards(policies, host=services.settings.host if trust else None)
    public = {"/", *SHORT_PATHS, *(f"{BASE}{path}" for path, resource in routes.items() if is_public(resource))}
    authentication = trust or Tokens(
        engine, public, (f"{BASE}/ui/", dashboard.FILES), Rate(services.settings.rate_limit)
    )
    document.publish(openapi.document(routes, registry, BASE, tokens=trust is None))
    app = falcon.App(middleware=[guards, authentication])
    app.resp_options.media_handlers = media.response_handlers()
    problems.install(app)
    for path, resource in routes.items():
        app.add_route(f"{BASE}{path}", with_head(resource))
    app.add_route("/metrics", routes["/metrics"])  # where Prometheus looks
    app.add_route("/", with_head(dashboard.Page()))
    for path in SHORT_PATHS:
        app.add_route(path, with_head(documentation.Redirect(f"{BASE}/ui/")))
    app.add_static_route(f"{BASE}/ui", documentation.STATIC)
    app.add_static_route(dashboard.FILES, dashboard.STATIC)
    return app


def with_head(resource: object) -> object:
    """The resource, answering HEAD wherever it answers GET: falcon leaves the body out."""
    if hasattr(resource, "on_get"):
        resource.on_head = resource.on_get  # type: ignore[attr-defined]
    return resource
