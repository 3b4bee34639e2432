from collections.abc import Mapping
from typing import Any

from bayesian_jobs.domain.flow import Flow
from bayesian_jobs.errors import FlowNotFound
from bayesian_jobs.handlers.base import BaseHandler


class FlowScheduling(BaseHandler):
    """Schedule flows on the core workers.

    The flow is started once for each element of flow_arguments, with the element's values and the job_id as its
    arguments: for all of them or, if the run fails, for none. If it has several tasks, each gets these arguments and
    starts when the tasks that it waits for have succeeded.

    Args:
        flow_name: The name of the flow, as the configuration of flows has it.
        flow_arguments: The arguments of each start of the flow.
    """

    example = {  # noqa: RUF012
        "flow_name": "bayesianFlow",
        "flow_arguments": [
            {"ecosystem": "npm", "force": True, "name": "serve-static", "version": "1.7.1"},
            {"ecosystem": "maven", "force": True, "name": "net.iharder:base64", "version": "2.3.9"},
        ],
    }

    def execute(self, flow_name: str, flow_arguments: list[dict[str, Any]]) -> None:
        flow = find_flow(self.run.flows, flow_name)
        self.run.start(flow, [{**arguments, "job_id": self.run.job_id} for arguments in flow_arguments])
        self.log.info("flow %s started %d times", flow_name, len(flow_arguments))


def find_flow(flows: Mapping[str, Flow], name: str) -> Flow:
    """Raises FlowNotFound."""
    if name not in flows:
        raise FlowNotFound(name, list(flows))
    return flows[name]
