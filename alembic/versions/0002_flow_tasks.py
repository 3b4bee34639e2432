"""The tasks of flows that wait for others, and which runs are tasks of a flow."""

from alembic import op

revision = "0002"
down_revision = "0001"

RUNS = """
ALTER TABLE runs ADD COLUMN flow_id uuid, ADD COLUMN task text;
CREATE INDEX runs_flow ON runs (flow_id) WHERE flow_id IS NOT NULL;
COMMENT ON COLUMN runs.flow_id IS 'of a task of a flow: which start of the flow it belongs to';
COMMENT ON COLUMN runs.task IS 'the name of the task in its flow';
"""

FLOW_TASKS = """
CREATE TABLE flow_tasks (
    flow_id uuid NOT NULL,
    task text NOT NULL,
    actor text NOT NULL,
    queue text NOT NULL,
    message jsonb NOT NULL,
    waits_for text[] NOT NULL,
    job_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT flow_tasks_pkey PRIMARY KEY (flow_id, task),
    CONSTRAINT flow_tasks_waits_check CHECK (cardinality(waits_for) > 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE flow_tasks IS 'tasks of flows that wait for others; one that starts becomes a run and leaves';
COMMENT ON COLUMN flow_tasks.flow_id IS 'one start of a flow';
COMMENT ON COLUMN flow_tasks.message IS 'args, kwargs and options of the message that its run will be';
COMMENT ON COLUMN flow_tasks.waits_for IS 'the tasks of the flow that have not succeeded yet and must';
COMMENT ON COLUMN flow_tasks.job_id IS 'the job whose run has started the flow';
"""


def upgrade() -> None:
    for statements in (RUNS, FLOW_TASKS):
        op.execute(statements)


def downgrade() -> None:
    op.drop_table("flow_tasks")
    op.execute("ALTER TABLE runs DROP COLUMN flow_id, DROP COLUMN task")
