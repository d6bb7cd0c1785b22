"""One set of versions behind three doors, and the set-up that installs it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
FILES = ["pyproject.toml", "requirements.txt", "environment.yml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.txt").read_text()
PINS = [Requirement(line) for line in re.findall(r"^(\w.*?)(?: \\)?$", LOCK, re.MULTILINE)]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def locked():
    """The version of each package that the lock gives to the machine that runs this test."""
    mine = (pin for pin in PINS if pin.marker is None or pin.marker.evaluate())
    return {pin.name: next(iter(pin.specifier)).version for pin in mine}


def test_every_pin_is_exact_and_hashed():
    entries = re.findall(r"^\w.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", LOCK, re.MULTILINE)
    assert len(entries) == len(PINS) > 0
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in PINS)


def test_the_lock_answers_what_pyproject_asks():
    extras = PROJECT["optional-dependencies"].values()
    asked = [Requirement(line) for lines in (PROJECT["dependencies"], *extras) for line in lines]
    pins = locked()
    assert [r for r in asked if r.name not in pins or pins[r.name] not in r.specifier] == []


def test_conda_gets_the_same_versions_and_the_project():
    python, pip, section = CONDA["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    assert PROJECT["requires-python"] == "==3.11.*"
    *pins, project = section["pip"]
    assert [Requirement(pin) for pin in pins] == PINS
    assert project == "-e ."
    assert CONDA["channels"] == ["conda-forge"]


def test_installed_is_what_the_lock_says():
    assert {name: version(name) for name in locked()} == locked()
    assert version("d2lutils") == PROJECT["version"]


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_an_index(name):
    assert re.findall(r"\w+://\S*|--?\S*index\S*|--find-links\S*", (ROOT / name).read_text()) == []


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]


# --- tools/venv.sh, with a PATH that holds nothing but what a test puts there ---


@pytest.fixture
def clone(tmp_path):
    """An empty clone whose programs write the arguments they get to a log."""
    (tmp_path / "clone/tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/venv.sh", tmp_path / "clone/tools")
    (tmp_path / "bin").mkdir()
    for name in ("dirname", "rm", "mkdir", "cp"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return tmp_path


def add_program(clone, path, version=(3, 11), fails_on="nothing"):
    """A program that fails when its arguments contain `fails_on`; `-c` runs in a Python `version`."""
    program = clone / path
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
        f"""#!/bin/sh
case "$*" in *"{fails_on}"*) exit 1;; esac
case "$1" in
    --version) exit;;
    -c) exec "{sys.executable}" -c "import sys; sys.version_info = {version}; $2";;
esac
echo "{program.name} $*" >> "{clone}/log"
case "$*" in *venv*.venv) mkdir -p .venv/bin; cp "$0" .venv/bin/python;; esac
"""
    )
    program.chmod(0o755)


def set_up(clone):
    """Run the script; return its exit status, its standard error and the log's lines."""
    result = subprocess.run(
        [shutil.which("sh"), "tools/venv.sh"],
        cwd=clone / "clone",
        env={"PATH": str(clone / "bin"), "HOME": str(clone / "home")},
        capture_output=True,
        text=True,
    )
    log = clone / "log"
    ready = (clone / "clone/.venv/.ready").exists()
    assert ready == (result.returncode == 0)
    return result.returncode, result.stderr, log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize(
    "path", ["bin/python3.11", "bin/python3", "home/.pyenv/versions/3.11.9/bin/python3"]
)
def test_a_python_is_found(clone, path):
    add_program(clone, path)
    status, _, log = set_up(clone)
    assert (status, log[0]) == (0, f"{Path(path).name} -m venv .venv")
    assert "pip install --require-hashes -r requirements.txt" in log[1]
    assert "pip install --no-deps --no-build-isolation -e ." in log[2]


@pytest.mark.parametrize("version", [(3, 10), (3, 12)])
def test_a_python_of_another_version_is_passed_over(clone, version):
    add_program(clone, "bin/python3.11", version)
    add_program(clone, "bin/python3")
    assert set_up(clone)[2][0] == "python3 -m venv .venv"


def test_uv_brings_a_python_where_there_is_none(clone):
    add_program(clone, "bin/uv", fails_on="python find")
    status, _, log = set_up(clone)
    assert (status, log[0]) == (0, "uv venv --python 3.11 .venv")
    assert "--require-hashes -r requirements.txt" in log[1]


def test_uv_serves_a_python_without_venv(clone):
    add_program(clone, "bin/python3.11", fails_on="ensurepip")
    add_program(clone, "bin/uv")
    status, _, log = set_up(clone)
    assert status == 0 and "uv venv --python python3.11 .venv" in log


def test_no_python_is_one_sentence(clone):
    status, error, log = set_up(clone)
    assert (status, log, error.count("\n")) == (1, [], 1)
    assert "No Python 3.11 here: install it" in error


def test_no_venv_is_one_sentence(clone):
    add_program(clone, "bin/python3.11", fails_on="ensurepip")
    status, error, log = set_up(clone)
    assert (status, log, error.count("\n")) == (1, [], 1)
    assert "apt install python3.11-venv" in error


# --- the Makefile: when the environment is laid anew ---


@pytest.fixture
def project(tmp_path):
    """A copy of the Makefile whose set-up only says that it ran."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / "tools/venv.sh").write_text(
        f"mkdir -p .venv/bin && ln -sf {sys.executable} .venv/bin/python && pwd -P > .venv/.ready"
    )
    assert laid_anew(tmp_path)
    return tmp_path


def laid_anew(folder):
    command = ["make", "--no-print-directory", ".venv/.ready"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    result = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=True
    )
    return "venv.sh" in result.stdout


def test_a_second_run_installs_nothing(project):
    assert not laid_anew(project)


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_stale_environment_is_laid_anew(project, name):
    later = (project / ".venv/.ready").stat().st_mtime + 10
    os.utime(project / name, (later, later))
    assert laid_anew(project)


def test_an_environment_without_its_python_is_laid_anew(project):
    (project / ".venv/bin/python").unlink()
    assert laid_anew(project)
    assert not laid_anew(project)


def test_a_moved_environment_is_laid_anew(project):
    moved = project.rename(project.with_name("moved"))
    assert laid_anew(moved)
    assert not laid_anew(moved)
