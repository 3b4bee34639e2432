"""The supervisor over tiny stand-in processes."""

import os
import re
import signal

KILL_AFTER = 42.0
WAITS = "import signal; print('waiting', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
FORKS = "import os, signal\npid = os.fork()\nif pid: os.write(1, b'child %d\\n' % pid)\nsignal.pause()"
LEAVES_A_CHILD = "import os, signal\npid = os.fork()\nif pid: os.write(1, b'child %d\\n' % pid)\nelse: signal.pause()"


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def printed_pid(log: str) -> int:
    """0 until a whole line tells it."""
    return max((int(pid) for pid in re.findall(r"child (\d+)\n", log)), default=0)


def test_each_line_carries_the_name_of_its_process(stage):
    stage.supervise(api="print('hello'); import signal; print('there', flush=True); signal.pause()", worker=WAITS)
    stage.turn_until(lambda: stage.says("there")() and stage.says("waiting")())
    lines = stage.log.getvalue().splitlines()
    assert [line for line in lines if "api" in line] == ["api       | hello", "api       | there"]
    assert [line for line in lines if "worker" in line] == ["worker    | waiting"]


def test_it_greets_once_with_the_process_ids_when_the_service_is_ready(stage):
    supervisor = stage.supervise(api=WAITS)
    stage.turn_until(stage.says("waiting"))
    assert stage.greeted == []
    stage.ready, stage.now = True, stage.now + 1
    stage.turn_until(lambda: bool(stage.greeted))
    supervisor.turn()
    assert stage.greeted == [supervisor.pids]


def test_a_process_that_is_killed_is_started_again(stage):
    supervisor = stage.running(worker=WAITS)
    first = supervisor.pids["worker"]
    os.kill(first, signal.SIGKILL)
    stage.turn_until(stage.says("worker ended (killed by SIGKILL) and is started again in 1 s"))
    assert supervisor.pids == {}
    stage.now += 1
    stage.turn_until(stage.says("worker started again"))
    assert supervisor.pids["worker"] != first


def test_a_process_that_keeps_ending_is_started_ever_more_slowly(stage):
    stage.running(worker="print('last words', end=''); raise SystemExit(3)", api=WAITS)
    for delay in (1, 2, 4):
        stage.turn_until(stage.says(f"worker ended (exit code 3) and is started again in {delay} s"))
        stage.now += delay
    assert stage.log.getvalue().count("worker    | last words\n") == 3


def test_a_process_that_ends_during_start_up_stops_all_and_is_named(stage):
    supervisor = stage.supervise(api=WAITS, worker="raise SystemExit('no such flow')")
    stage.turn_until(lambda: supervisor.done)
    assert "worker    | no such flow" in stage.log.getvalue()
    assert supervisor.failure == ("the worker process ended during start-up (exit code 1); the log above says why")


def test_stop_lets_processes_finish_and_waits_for_them(stage):
    supervisor = stage.running(api=WAITS, worker=WAITS)
    pids = list(supervisor.pids.values())
    supervisor.stop()
    stage.turn_until(lambda: supervisor.done)
    assert not any(is_alive(pid) for pid in pids)
    assert supervisor.failure is None
    assert "started again" not in stage.log.getvalue()


def test_a_process_that_does_not_finish_in_time_is_killed_and_that_is_said(stage):
    stage.kill_after = KILL_AFTER
    supervisor = stage.running(api=WAITS, worker=STUBBORN)
    pid = supervisor.pids["worker"]
    stage.turn_until(stage.says("deaf"))
    supervisor.stop()
    stage.turn_until(lambda: "api" not in supervisor.pids)
    assert is_alive(pid)
    stage.now += KILL_AFTER - 0.1
    supervisor.turn()
    assert is_alive(pid)
    stage.now += 0.1
    stage.turn_until(lambda: supervisor.done)
    assert "not finished after 42 s, so killed: worker" in stage.log.getvalue()
    assert not is_alive(pid)


def test_kill_does_not_wait_and_takes_the_processes_of_a_process_with_it(stage):
    supervisor = stage.running(worker=FORKS)
    stage.turn_until(lambda: printed_pid(stage.log.getvalue()))
    grandchild = printed_pid(stage.log.getvalue())
    supervisor.kill()
    stage.turn_until(lambda: supervisor.done and not is_alive(grandchild))


def test_what_an_ended_process_leaves_behind_is_killed(stage):
    stage.running(worker=LEAVES_A_CHILD)
    stage.turn_until(stage.says("worker ended (exit code 0)"))
    grandchild = printed_pid(stage.log.getvalue())
    stage.turn_until(lambda: not is_alive(grandchild))


def test_a_process_that_closes_its_output_is_still_watched(stage):
    supervisor = stage.running(worker="import os, signal; os.close(1); os.close(2); signal.pause()")
    os.kill(supervisor.pids["worker"], signal.SIGKILL)
    stage.turn_until(stage.says("worker ended (killed by SIGKILL)"))


def test_output_without_line_ends_is_forwarded_in_pieces(stage):
    stage.supervise(worker="import signal; print('x' * 300_000, end='', flush=True); signal.pause()")
    stage.turn_until(lambda: stage.log.getvalue().count("x") >= 200_000)
