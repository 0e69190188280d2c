"""``fitwell diagnose``: the findings of a run, why, and an exit code for scripts."""

import json

import pytest

from fitwell import cli
from fitwell.run import Run
from fitwell.run.files import write_json

FAILURE = {
    "type": "RuntimeError",
    "message": "grad can be implicitly created only for scalar outputs",
    "where": {"file": "/home/me/train.py", "line": 31, "function": "train", "text": "loss.backward()"},
    "operands": [{"name": "loss", "shape": [32], "dtype": "torch.float32", "device": "cpu"}],
}


@pytest.fixture
def failed(watched_run: Run) -> Run:
    write_json(watched_run.path / "facts.json", {"schema": 1, "failure": FAILURE})
    return watched_run


def test_a_finding_is_told_with_line_evidence_and_remedy(fitwell, failed: Run) -> None:
    done = fitwell("diagnose", "last")
    assert done.code == 0
    for part in ("broken", "error    shape-mismatch, confirmed", "loss is [32]", "train.py:31", "[yes] what the error",
                 "remedy", "it may be wrong if", "1 found"):  # fmt: skip
        assert part in done.out
    assert "could not be checked\n" not in done.out.partition("1 found")[2].partition("\n")[2]
    assert (failed.path / "findings.json").exists()


def test_all_names_what_is_fine_and_what_was_not_seen(fitwell, failed: Run) -> None:
    out = fitwell("diagnose", "last", "--all").out
    assert "device-mismatch" in out.partition("\nfine")[2].partition("could not be checked\n")[0]
    unseen = out.partition("\ncould not be checked\n")[2]
    assert "softmax-before-cross-entropy" in unseen
    assert "not seen: " in unseen


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shape-mismatch", "it is found"),
        ("device-mismatch", "it is not found"),
        ("softmax-before-cross-entropy", "it could not be checked, not seen: calls of cross entropy"),
    ],
)
def test_why_shows_the_proof_of_a_rule(fitwell, failed: Run, name: str, said: str) -> None:
    out = fitwell("diagnose", "last", "--why", name).out
    assert out.startswith(f"{name}: {said}")
    told = json.loads(fitwell("diagnose", "last", "--why", name, "--json").out)
    assert told["name"] == name
    assert told["holds"] in [line["holds"] for line in told["evidence"]]


def test_json_is_the_diagnosis_document(fitwell, failed: Run) -> None:
    told = json.loads(fitwell("diagnose", "last", "--json").out)
    assert told == json.loads((failed.path / "findings.json").read_text())
    assert [finding["name"] for finding in told["findings"]] == ["shape-mismatch"]


@pytest.mark.parametrize("level", ["error", "warning"])
def test_findings_may_fail(fitwell, failed: Run, level: str) -> None:
    done = fitwell("diagnose", "last", "--fail-on", level)
    assert done.code == cli.FINDINGS
    assert "shape-mismatch" in done.out


def test_a_program_that_ended_well_does_not_fail(fitwell, watched_run: Run) -> None:
    write_json(watched_run.path / "facts.json", {"schema": 1, "failure": None})
    done = fitwell("diagnose", "last", "--fail-on", "warning")
    assert (done.code, "0 found" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("last", "--why", "shape-mismach"), cli.USAGE, "did you mean shape-mismatch?"),
        (("last", "--fail-on", "all"), cli.USAGE, "error or warning"),
        (("nobody",), cli.FAILED, "nobody"),
    ],
)
def test_mistakes_are_told_without_a_traceback(refused, failed: Run, arguments, code: int, told: str) -> None:
    assert told in refused(code, "diagnose", *arguments)


def test_it_is_in_python_too(failed: Run) -> None:
    import fitwell

    assert [finding.name for finding in fitwell.diagnose(failed).findings] == ["shape-mismatch"]
