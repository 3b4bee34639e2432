import json
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

NPM = {"ecosystem": "npm", "name": "serve-static", "version": "1.7.1", "job_id": "weekly"}
VIEW = '{"name": "serve-static", "version": "1.7.1", "license": "MIT"}'


def kept(results: Path, *parts: str) -> dict[str, Any]:
    document = json.loads(results.joinpath(*parts).read_text())
    assert isinstance(document, dict)
    return document


@pytest.mark.usefixtures("no_clients")
def test_without_a_client_the_analysis_is_kept_with_the_reason(core_worker: ModuleType, results: Path) -> None:
    core_worker.bayesian_flow(**NPM)

    document = kept(results, "npm", "serve-static", "1.7.1.json")
    assert document.pop("analysed_at").endswith("+00:00")
    assert document == {
        "ecosystem": "npm",
        "name": "serve-static",
        "version": "1.7.1",
        "purl": "pkg:npm/serve-static@1.7.1",
        "job_id": "weekly",
        "metadata": None,
        "metadata_missing": "npm is not installed here",
    }


def test_what_the_client_knows_is_kept(core_worker: ModuleType, results: Path, client: Any) -> None:
    client.behaves("npm", f"echo '{VIEW}'")
    core_worker.bayesian_flow(**NPM)

    document = kept(results, "npm", "serve-static", "1.7.1.json")
    assert document["metadata"] == json.loads(VIEW)
    assert document["metadata_missing"] is None


def test_pips_report_gives_the_metadata_of_a_python_package(core_worker: ModuleType, client: Any) -> None:
    report = {"install": [{"metadata": {"name": "six", "version": "1.17.0", "classifier": ["…"]}}]}
    client.behaves("pip", f"echo '{json.dumps(report)}'")
    assert core_worker.metadata_of("pypi", "six", "1.17.0") == ({"name": "six", "version": "1.17.0"}, None)


def test_maven_packages_are_analysed_without_metadata(core_worker: ModuleType, results: Path) -> None:
    core_worker.bayesian_flow(ecosystem="maven", name="net.iharder:base64", version="2.3.9", job_id="j")
    document = kept(results, "maven", "net.iharder:base64", "2.3.9.json")
    assert document["purl"] == "pkg:maven/net.iharder/base64@2.3.9"
    assert "Maven" in document["metadata_missing"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo \'{"error": {"code": "E404"}}\'; exit 1', "npm does not know: E404 (its exit status: 1)"),
        ("echo '[]'; exit 1", "npm does not know: no reason given (its exit status: 1)"),
        ("exit 145", "npm gave no answer (its exit status: 145)"),
        ("printf '\\377'", "npm gave no answer (its exit status: 0)"),
        ("echo '[1]'", "npm knows no version 1.7.1 of serve-static"),
        ('echo \'{"version": "1.8.0"}\'', "npm knows no version 1.7.1 of serve-static"),
        ("cat /dev/zero", "an answer of more than 4000000 bytes"),
    ],
)
def test_a_client_that_cannot_tell_leaves_its_reason(
    core_worker: ModuleType, client: Any, script: str, reason: str
) -> None:
    client.behaves("npm", script)
    assert core_worker.metadata_of("npm", "serve-static", "1.7.1") == (None, reason)


@pytest.mark.parametrize("script", ["exec sleep 600", "exec sleep 600 >/dev/null"])
def test_a_client_that_hangs_is_killed(
    core_worker: ModuleType, client: Any, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_worker, "ANSWER_SECONDS", 0.3)
    client.behaves("npm", script)
    assert core_worker.metadata_of("npm", "a", "1") == (None, "no answer within 0.3 s")


def test_a_client_that_was_killed_makes_dramatiq_try_again(core_worker: ModuleType, client: Any) -> None:
    client.behaves("npm", "kill -KILL $$")
    with pytest.raises(RuntimeError, match="npm was ended by signal 9"):
        core_worker.metadata_of("npm", "a", "1")


@pytest.mark.parametrize("version", ["1.x || 2", ">=1", "file:..", "*", "-g", "1.0.0 --evil"])
def test_no_client_is_asked_about_anything_but_an_exact_version(
    core_worker: ModuleType, client: Any, tmp_path: Path, version: str
) -> None:
    client.behaves("npm", f"touch {tmp_path}/asked")
    assert core_worker.metadata_of("npm", "a", version)[1].endswith("is not an exact version")
    assert not (tmp_path / "asked").exists()


def test_names_and_versions_never_reach_a_shell(core_worker: ModuleType, client: Any, tmp_path: Path) -> None:
    client.behaves("npm", f'for each; do last="$each"; echo "$each" >> {tmp_path}/arguments; done')
    core_worker.metadata_of("npm", "a!'()*", "1.0")
    assert "a!'()*@1.0" in (tmp_path / "arguments").read_text().splitlines()


@pytest.mark.usefixtures("no_clients")
def test_a_result_that_is_there_is_kept_unless_forced(core_worker: ModuleType, results: Path) -> None:
    core_worker.bayesian_flow(**NPM)
    core_worker.bayesian_flow(**NPM | {"job_id": "later"})
    assert kept(results, "npm", "serve-static", "1.7.1.json")["job_id"] == "weekly"

    core_worker.bayesian_flow(**NPM | {"job_id": "forced"}, force=True)
    assert kept(results, "npm", "serve-static", "1.7.1.json")["job_id"] == "forced"


def test_an_unknown_ecosystem_fails_and_leaves_nothing(core_worker: ModuleType, results: Path) -> None:
    with pytest.raises(ValueError, match="unknown ecosystem 'cobol'"):
        core_worker.bayesian_flow(ecosystem="cobol", name="a", version="1", job_id="j")
    assert not results.exists()


def test_no_coordinates_lead_out_of_the_results_directory(core_worker: ModuleType, tmp_path: Path) -> None:
    hostile = ["..", ".", "../../x", "/etc/passwd", "a/b", ".hidden", "a\\b", "é" * 300, "%2E.", "@s/n"]
    paths = [core_worker.result_path(tmp_path, text, text, text) for text in hostile]
    assert len(set(paths)) == len(hostile)
    for path in paths:
        assert path.resolve().relative_to(tmp_path.resolve()) == path.relative_to(tmp_path)
        assert len(path.relative_to(tmp_path).parts) == 3
        assert all(len(part) <= 255 and not part.startswith(".") for part in path.relative_to(tmp_path).parts)


def test_writers_of_the_same_result_leave_one_whole_file(core_worker: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "npm" / "a" / "1.json"
    writers = [
        threading.Thread(target=core_worker.keep, args=(target, {"writer": n, "text": "x" * 100_000})) for n in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(json.loads(target.read_text())["text"]) == 100_000
    assert list(target.parent.iterdir()) == [target]


def test_a_result_that_cannot_be_written_leaves_no_draft(core_worker: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        core_worker.keep(tmp_path / "a.json", {"not": object()})
    assert list(tmp_path.iterdir()) == []


def test_results_lie_where_the_environment_says(core_worker: ModuleType) -> None:
    assert core_worker.results_dir({"CORE_RESULTS_DIR": "/r", "JOBS_DATA_DIR": "/d"}) == Path("/r")
    assert core_worker.results_dir({"JOBS_DATA_DIR": "/d"}) == Path("/d/core-results")
    assert core_worker.results_dir({}) == Path("core-results")


def test_the_flows_file_names_the_actor_and_its_queue(core_worker: ModuleType) -> None:
    flows = yaml.safe_load(Path(core_worker.__file__ or "").with_name("flows.yaml").read_text())
    actor = core_worker.bayesian_flow
    assert flows == {"bayesianFlow": {"actor": actor.actor_name, "queue": actor.queue_name}}
