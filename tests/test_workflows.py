"""The workflows: what they call exists, what they use is pinned, and each week somebody looks."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))
WORKFLOWS = {
    path.stem: yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # "on" stays "on"
    for path in sorted((ROOT / ".github/workflows").glob("*.yml"))
}
JOBS = {
    f"{name}-{job}": content
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
}
each_job = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)


def made(text):
    """The targets that a text calls, `make lint test` both; files such as .venv/.ready aside."""
    start, target = r"(?:^|`|sudo |=1 )", r" [a-z][a-z-]*(?=[ \n`]|$)"
    calls = re.findall(rf"{start}make((?:{target})+)", text, re.MULTILINE)
    return [target for call in calls for target in call.split()]


def commands(job):
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_every_change_and_every_week_is_tested():
    assert {"push", "pull_request"} <= WORKFLOWS["test"]["on"].keys()
    assert {"schedule", "workflow_dispatch"} <= WORKFLOWS["weekly"]["on"].keys()
    assert ".ci/run" in commands(WORKFLOWS["test"]["jobs"]["test"])
    assert {"lint", "test", "browser"} <= set(made((ROOT / ".ci/run").read_text(encoding="utf-8")))
    weekly = [
        target for job in WORKFLOWS["weekly"]["jobs"].values() for target in made(commands(job))
    ]
    assert {"bare", "upgrade", "test", "test-order"} <= set(weekly)
    texts = [commands(job) for job in WORKFLOWS["weekly"]["jobs"].values()]
    assert all(any(f"-m {mark}" in text for text in texts) for mark in ("registry", "faults"))
    steps = [step for job in WORKFLOWS["weekly"]["jobs"].values() for step in job["steps"]]
    assert any(int(step.get("env", {}).get("CHECK_ROUNDS", 0)) > 1 for step in steps)


@each_job
def test_a_job_makes_what_the_makefile_has(job):
    assert set(made(commands(job))) <= TARGETS


@each_job
def test_a_job_ends_and_may_do_little(job):
    assert 0 < int(job["timeout-minutes"]) <= 60
    if job is JOBS["pages-deploy"]:
        assert job["permissions"] == {"pages": "write", "id-token": "write"}
    else:
        assert "permissions" not in job, "the workflow's are enough"
    for step in job["steps"]:
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_a_workflow_only_reads(workflow):
    assert workflow["permissions"] == {"contents": "read"}


@each_job
def test_what_a_job_uses_is_pinned(job):
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert (
        used
        and [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []
    )
    installs = [line for line in commands(job).splitlines() if "pip install" in line]
    assert [line for line in installs if "--require-hashes" not in line] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_what_a_text_says_to_make_can_be_made(name):
    assert set(made((ROOT / name).read_text(encoding="utf-8"))) <= TARGETS
