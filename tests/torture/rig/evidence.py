"""What the rig itself writes down: in the database by triggers of its own, and where handlers and nemesis write."""

AUDIT = """
CREATE SCHEMA torture;
-- Without a unique key: an effect that happens twice must be seen to.
CREATE TABLE torture.effects (run_id uuid NOT NULL, attempt integer NOT NULL);
-- Orders what different sessions do by something else than a clock, which the rig shifts.
CREATE SEQUENCE torture.tickets;

CREATE TABLE torture.definitions AS
SELECT 0::bigint AS ticket, now() AS began, now() AS at, ''::text AS what, job_no, job_id, version, state, handler,
       period, cron, timezone, starts_at, ends_at, misfire_grace_time AS grace, max_concurrent_runs, next_run_at,
       next_run_at AS was_next
FROM public.jobs LIMIT 0;

CREATE TABLE torture.steps AS
SELECT 0::bigint AS ticket, now() AS at, run_id, scheduled_for, job_no, job_version, attempt, requested, started_at,
       state AS before, state AS after
FROM public.runs LIMIT 0;

CREATE FUNCTION torture.note_definition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    j public.jobs := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    INSERT INTO torture.definitions
    SELECT nextval('torture.tickets'), now(), clock_timestamp(), TG_OP, j.job_no, j.job_id, j.version, j.state,
           j.handler, j.period, j.cron, j.timezone, j.starts_at, j.ends_at, j.misfire_grace_time,
           j.max_concurrent_runs, CASE TG_OP WHEN 'DELETE' THEN NULL ELSE j.next_run_at END,
           CASE TG_OP WHEN 'INSERT' THEN NULL ELSE OLD.next_run_at END;
    RETURN NULL;
END $$;
CREATE TRIGGER torture_defined AFTER INSERT ON public.jobs FOR EACH ROW
    WHEN (NEW.handler <> 'ErrorHandler') EXECUTE FUNCTION torture.note_definition();
CREATE TRIGGER torture_changed AFTER UPDATE ON public.jobs FOR EACH ROW
    WHEN (NEW.handler <> 'ErrorHandler' AND (OLD.version <> NEW.version OR OLD.state <> NEW.state))
    EXECUTE FUNCTION torture.note_definition();
CREATE TRIGGER torture_deleted AFTER DELETE ON public.jobs FOR EACH ROW
    WHEN (OLD.handler <> 'ErrorHandler') EXECUTE FUNCTION torture.note_definition();

CREATE FUNCTION torture.note_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO torture.steps
    SELECT nextval('torture.tickets'), clock_timestamp(), NEW.run_id, NEW.scheduled_for, NEW.job_no, NEW.job_version,
           NEW.attempt, NEW.requested, NEW.started_at, CASE TG_OP WHEN 'UPDATE' THEN OLD.state END, NEW.state;
    RETURN NULL;
END $$;
CREATE TRIGGER torture_made AFTER INSERT ON public.runs FOR EACH ROW EXECUTE FUNCTION torture.note_step();
CREATE TRIGGER torture_stepped AFTER UPDATE ON public.runs FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION torture.note_step();
"""

DEFINITIONS = """
SELECT ticket, began, at, what, job_no, job_id, version, state, handler, period, cron, timezone, starts_at, ends_at,
       grace, max_concurrent_runs, next_run_at, was_next
FROM torture.definitions ORDER BY ticket
"""
RECORDS = """
SELECT run_id::text, job_no, job_id, job_version, actor, scheduled_for, coalesce(missed_until, scheduled_for),
       coalesce(missed_count, 1), state, requested, attempt, recoveries, reason
FROM runs WHERE job_no IS NOT NULL
"""
STEPS = """
SELECT ticket, at, run_id::text, scheduled_for, job_no, job_version, attempt, requested, started_at, before, after
FROM torture.steps WHERE job_no IS NOT NULL ORDER BY ticket
"""
NEXT = "SELECT job_no, next_run_at FROM jobs WHERE handler <> 'ErrorHandler'"
EFFECTS = "SELECT run_id::text, count(*) FROM torture.effects GROUP BY run_id"
TICKET = "SELECT nextval('torture.tickets')"
