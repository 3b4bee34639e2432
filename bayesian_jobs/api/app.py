"""The WSGI application: every route on one screen."""

import falcon

from bayesian_jobs.api import documentation, handlers, jobs, media, openapi, problems, runs, service
from bayesian_jobs.api.guards import Guards
from bayesian_jobs.bootstrap import Services

BASE = "/api/v1"


def create_app(services: Services) -> falcon.App[falcon.Request, falcon.Response]:
    """The API over the services' engine and registry; opens no connection before the first request."""
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
        "/handlers": handlers.Handlers(registry),
        "/service/state": service.ServiceState(engine),
        "/readiness": service.Readiness(engine),
        "/liveness": service.Liveness(),
        "/openapi.json": document,
        "/ui/": documentation.Page(),
    }
    document.publish(openapi.document(routes, registry, BASE))
    app = falcon.App(middleware=[Guards(page=f"{BASE}/ui", host=services.settings.host)])
    app.resp_options.media_handlers = media.response_handlers()
    problems.install(app)
    for path, resource in routes.items():
        app.add_route(f"{BASE}{path}", with_head(resource))
    for path in ("/", BASE, f"{BASE}/", f"{BASE}/ui"):
        app.add_route(path, with_head(documentation.Redirect(f"{BASE}/ui/")))
    app.add_static_route(f"{BASE}/ui", documentation.STATIC)
    return app


def with_head(resource: object) -> object:
    """The resource, answering HEAD wherever it answers GET: falcon leaves the body out."""
    if hasattr(resource, "on_get"):
        resource.on_head = resource.on_get  # type: ignore[attr-defined]
    return resource
