from typing import Annotated, Any

from pydantic import Field

from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.flow import find_flow


class SelectiveFlowScheduling(BaseHandler):
    """Schedule only some tasks of a flow on the core workers.

    The named tasks are started, and before them all tasks that they wait for, once for each element of
    flow_arguments, with the element's values and the job_id as their arguments: for all elements or, if the run fails,
    for none.

    Args:
        flow_name: The name of the flow, as the configuration of flows has it.
        task_names: The names of the tasks. Of a task in a subflow the name alone (then in every subflow that has it),
            or with the names above it, such as deep.scan. The name of a subflow means all of its tasks.
        flow_arguments: The arguments of each start of the flow.
        follow_subflows: Look for the named tasks in the flow's subflows as well.
        run_subsequent: Start everything that comes after the named tasks as well.
    """

    example = {  # noqa: RUF012
        "flow_name": "bayesianFlow",
        "task_names": ["bayesianFlow"],
        "flow_arguments": [{"ecosystem": "npm", "force": True, "name": "serve-static", "version": "1.7.1"}],
        "follow_subflows": True,
        "run_subsequent": False,
    }

    def execute(
        self,
        flow_name: str,
        task_names: Annotated[list[str], Field(min_length=1)],
        flow_arguments: list[dict[str, Any]],
        follow_subflows: bool = True,
        run_subsequent: bool = False,
    ) -> None:
        flow = find_flow(self.run.flows, flow_name)
        part = flow.select(task_names, follow_subflows=follow_subflows, run_subsequent=run_subsequent)
        self.run.start(part, [{**arguments, "job_id": self.run.job_id} for arguments in flow_arguments])
        self.log.info("%d tasks of flow %s started %d times", len(part.tasks), flow_name, len(flow_arguments))
