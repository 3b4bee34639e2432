"""How far runs have come, as far as their workers have told."""

import json
from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import Connection

from bayesian_jobs.domain.progress import Progress
from bayesian_jobs.store.claimed import RunKey
from bayesian_jobs.store.prepared import Prepared

# Of a run that has ended as well: its last word may come after its end. Fenced by the attempt.
KEEP = """
UPDATE runs AS r SET progress = u.progress::jsonb
FROM unnest(%(run_ids)s::uuid[], %(scheduled_fors)s::timestamptz[], %(attempts)s::int[], %(progresses)s::text[])
    AS u(run_id, scheduled_for, attempt, progress)
WHERE r.run_id = u.run_id AND r.scheduled_for = u.scheduled_for AND r.attempt = u.attempt
"""

keep_statement = Prepared("keep_progress", KEEP)


def keep_progress(connection: Connection, progress: Mapping[RunKey, Progress]) -> None:
    """Replace what was known of these attempts. Locks their runs, and waits for nothing else."""
    run_ids, scheduled_fors, attempts = zip(*progress, strict=True)
    keep_statement.run(
        connection,
        {
            "run_ids": list(run_ids),
            "scheduled_fors": list(scheduled_fors),
            "attempts": list(attempts),
            "progresses": [json.dumps(asdict(each), allow_nan=False) for each in progress.values()],
        },
    )
