"""`ETag` of answers, `If-Match` and `If-None-Match` of requests (RFC 9110, section 13)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import falcon

from bayesian_jobs.api.parameters import Parameter
from bayesian_jobs.errors import Fault, InvalidOptions
from bayesian_jobs.lifecycle.condition import Condition, tag

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")

IF_MATCH = Parameter(
    name="If-Match",
    description="Only if the job still has this `ETag`, one of several, or `*`: only if there is such a job",
    schema={"type": "string", "format": "entity-tags"},
)
IF_NONE_MATCH = Parameter(
    name="If-None-Match",
    description="`*`: only if there is no such job yet",
    schema={"type": "string", "enum": ["*"]},
)


IF_SAME_STATE = replace(IF_MATCH, description="Only if the service still has this `ETag`, or one of several")


def show(resp: falcon.Response, job: Mapping[str, Any]) -> None:
    """Give the answer the job's tag."""
    show_tag(resp, tag(job))


def show_tag(resp: falcon.Response, tag: str) -> None:
    resp.set_header("ETag", f'"{tag}"')


def read(req: falcon.Request) -> Condition:
    """Under which condition the request is to be carried out. Raises InvalidOptions.

    A weak tag matches nothing, as RFC 9110 has it.
    """
    match, none_match = (req.get_header(each.name) for each in (IF_MATCH, IF_NONE_MATCH))
    faults = []
    if match is not None and match != "*" and not _TAGS.fullmatch(match):
        faults.append(Fault("If-Match", match, 'must be * or tags as ETag gives them, such as "7-1"'))
    if none_match is not None and none_match != "*":
        faults.append(Fault("If-None-Match", none_match, "must be *"))
    if faults:
        raise InvalidOptions(faults)
    return Condition(present=match is not None, tags=_tags(match), absent=none_match is not None)


def _tags(match: str | None) -> frozenset[str] | None:
    if match is None or match == "*":
        return None
    return frozenset(each[1:-1] for each in re.findall(_TAG, match) if not each.startswith("W/"))
