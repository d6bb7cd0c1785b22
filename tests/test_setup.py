"""What must not happen while the course is set up, whatever the caller's machine looks like."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bare
import install
import matrix
import pytest

ROOT = Path(__file__).parent.parent

# A Python whose set-up does what the test says, in the shell variable HAPPENS, in tools/install.py's place.
FAKE_PYTHON = f"""#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
    "tools/install.py "*) env > installed_with; eval "$HAPPENS";;
    "-c "*libgomp*|"-c "*libquadmath*) test -z "$NO_LIBRARIES";;
    *) exec "{sys.executable}" "$@";;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout in a path with a space, with an environment that works, and a fake Python on PATH."""
    checkout = tmp_path / "two words/course"
    (checkout / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/venv.sh", checkout / "tools")
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.ready").write_text("the old one")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.11").write_text(FAKE_PYTHON)
    (tmp_path / "bin/python3.11").chmod(0o755)
    return checkout


def start(checkout, happens="true", **environment):
    """Start the script; `happens` is what the shell does where the packages would be installed."""
    path = f"{checkout.parent.parent}/bin:/usr/bin:/bin"
    return subprocess.Popen(
        ["sh", "tools/venv.sh"],
        cwd=checkout,
        env={"PATH": path, "HOME": str(checkout.parent), "HAPPENS": happens} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def set_up(checkout, happens="true", **environment):
    """Run the script; returns its exit status and what it printed."""
    with start(checkout, happens, **environment) as process:
        output, _ = process.communicate(timeout=30)
        return process.returncode, output


def state(checkout):
    """Which environment is there: what its mark says."""
    mark = checkout / ".venv/.ready"
    assert not (checkout / ".venv.old").exists()
    return mark.read_text().strip() if mark.exists() else None


# --- nothing is lost ---


def test_a_set_up_that_works_takes_the_place_of_the_old_one(checkout):
    assert set_up(checkout)[0] == 0
    assert state(checkout) == str(checkout.resolve())


@pytest.mark.parametrize("happens", ["exit 1", "kill -TERM $PPID; sleep 1"])
def test_after_a_failure_the_old_environment_is_back(checkout, happens):
    status, output = set_up(checkout, happens)
    assert status != 0 and "is back" in output
    assert state(checkout) == "the old one"


def test_after_a_failure_without_an_old_environment_nothing_is_left(checkout):
    shutil.rmtree(checkout / ".venv")
    status, output = set_up(checkout, "exit 1")
    assert status != 0 and "is back" not in output
    assert not (checkout / ".venv").exists()


def test_interrupted_by_hand_the_old_environment_is_back(checkout):
    with start(checkout, "touch started; exec sleep 30") as process:
        while not (checkout / "started").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        process.communicate(timeout=10)
    assert process.returncode == 130 and state(checkout) == "the old one"


def test_killed_outright_the_old_environment_comes_back_with_the_next_failure(checkout):
    assert set_up(checkout, "kill -KILL $PPID")[0] == -signal.SIGKILL
    assert not (checkout / ".venv/.ready").exists()
    assert set_up(checkout, "exit 1")[0] != 0
    assert state(checkout) == "the old one"


def test_what_the_reader_set_in_jupyterlab_stays(checkout):
    (checkout / ".venv/home/jupyter").mkdir(parents=True)
    (checkout / ".venv/home/jupyter/theme").write_text("dark")
    assert set_up(checkout)[0] == 0
    assert (checkout / ".venv/home/jupyter/theme").read_text() == "dark"


# --- the caller's environment ---


def test_another_project_on_cdpath_is_not_touched(checkout, tmp_path):
    other = tmp_path / "other/tools"
    (other.parent / ".venv").mkdir(parents=True)
    other.mkdir()
    assert set_up(checkout, CDPATH=str(tmp_path / "other"))[0] == 0
    assert (other.parent / ".venv").exists() and state(checkout) == str(checkout.resolve())


def test_python_and_uv_settings_do_not_reach_the_set_up(checkout):
    leaks = {"PYTHONHOME": "/x", "PYTHONOPTIMIZE": "2", "UV_REQUIRE_HASHES": "1", "UV_TARGET": "/x"}
    keeps = {"UV_DEFAULT_INDEX": "here", "UV_CACHE_DIR": "/cache", "PIP_INDEX_URL": "there"}
    assert set_up(checkout, **leaks, **keeps)[0] == 0
    seen = dict(
        line.split("=", 1)
        for line in (checkout / "installed_with").read_text().split("\n")
        if "=" in line
    )
    assert {name: seen[name] for name in keeps} == keeps
    assert leaks.keys() & seen.keys() == set()


@pytest.mark.parametrize("home", ["/nowhere/at/all", ""])
def test_a_home_that_cannot_be_written_is_replaced(checkout, home):
    assert set_up(checkout, HOME=home)[0] == 0
    seen = (checkout / "installed_with").read_text()
    assert f"HOME={checkout.resolve()}/.venv/home\n" in seen


def test_of_pip_settings_those_count_that_say_where_packages_come_from():
    listed = r"""
:env:.index-url='https://env'
:env:.user='1'
download.cert='/not/for/install'
global.find-links='/a\n/b'
global.index-url='https://global'
global.require-hashes='true'
install.trusted-host='c'
install.target='/x'
"""
    seen = install.environment(
        listed.strip(), {"PATH": "/bin", "PIP_USER": "1", "PIP_TARGET": "/y"}
    )
    assert seen == {
        "PATH": "/bin",
        "PIP_INDEX_URL": "https://env",
        "PIP_FIND_LINKS": "/a /b",
        "PIP_TRUSTED_HOST": "c",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.fixture
def made(tmp_path):
    """What `make TARGET` gives to the programs of the environment: their variables."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    (tmp_path / ".venv/.ready").write_text(str(tmp_path.resolve()))
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    for name in ("python", "jupyter", "pytest"):
        (programs / name).write_text("#!/bin/sh\nenv > seen\n")
        (programs / name).chmod(0o755)

    def make(target, **environment):
        command = ["make", "--silent", target]
        own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        subprocess.run(command, cwd=tmp_path, env=own | environment, check=True)
        lines = (tmp_path / "seen").read_text().splitlines()
        return dict(line.split("=", maxsplit=1) for line in lines if "=" in line)

    return make


LEAKS = {
    "CDPATH": "/x",
    "PYTHONPATH": "/x",
    "PYTHONHOME": "/x",
    "PYTHONWARNINGS": "default",
    "PYTHONOPTIMIZE": "1",
    "MPLBACKEND": "tkagg",
    "MATPLOTLIBRC": "/x",
    "JUPYTER_PATH": "/x",
    "JUPYTER_CONFIG_PATH": "/x",
    "JUPYTERLAB_DIR": "/x",
}
OWN = [
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "MPLCONFIGDIR",
]


@pytest.mark.parametrize("target", ["lab", "test-notebooks", "notebooks"])
def test_no_setting_of_the_caller_reaches_the_course(made, tmp_path, target):
    seen = made(target, **LEAKS, **dict.fromkeys(OWN, "/x"))
    assert LEAKS.keys() & seen.keys() == set()
    assert all(Path(seen[name]).is_relative_to(tmp_path.resolve() / ".venv/home") for name in OWN)
    assert seen["HOME"] == str(tmp_path)


@pytest.mark.parametrize("target", ["lab", "test-notebooks"])
@pytest.mark.parametrize("home", ["/nowhere/at/all", ""])
def test_the_course_runs_without_a_home(made, tmp_path, target, home):
    assert made(target, HOME=home)["HOME"] == str(tmp_path.resolve() / ".venv/home")


def test_the_tests_are_the_same_for_everybody(made):
    leaks = {
        "COURSE_FULL": "1",
        "OMP_DISPLAY_ENV": "true",
        "MXNET_ENGINE_TYPE": "NaiveEngine",
        "PYTEST_ADDOPTS": "--lf",
        "GIT_DIR": "/x",
    }
    seen = made("test-notebooks", OMP_NUM_THREADS="all", **leaks)
    assert leaks.keys() & seen.keys() == set()
    assert (seen["OMP_NUM_THREADS"], seen["JUPYTER_NO_CONFIG"]) == ("1", "1")
    assert made("lab", COURSE_FULL="1", OMP_NUM_THREADS="2")["COURSE_FULL"] == "1"  # a choice


# --- what is missing is said before anything is installed ---


def test_missing_libraries_are_one_sentence(checkout):
    status, output = set_up(checkout, NO_LIBRARIES="1")
    assert status == 1 and not (checkout / "installed_with").exists()
    assert "libgomp.so.1" in output.splitlines()[0] and "Type: " in output.splitlines()[0]


def test_the_sentence_for_debian_is_the_readmes():
    script = (ROOT / "tools/venv.sh").read_text()
    libraries = re.search(r'^    libraries="(.*)"$', script, re.MULTILINE)[1]
    assert bare.packages_for_debian() == f"git make python3-venv {libraries}"
    assert 'type="sudo apt install python3-venv $libraries"' in script


# --- the container ---


def test_the_container_is_the_machine_of_the_readme():
    steps = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
    assert set(bare.packages_for_debian().split()) <= set(re.findall(r"[\w-]+", steps))
    assert re.findall(r"^USER (.+)$", steps, re.MULTILINE) == ["learner"]
    assert re.findall(r"^EXPOSE (.+)$", steps, re.MULTILINE) == ["8888"]
    command = json.loads(re.search(r"^CMD (.+)$", steps, re.MULTILINE)[1])
    assert command[:2] == ["make", "lab"] and not any("token" in word.lower() for word in command)


def test_the_editor_makes_the_same_container():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    build = container["build"]
    dockerfile = (ROOT / ".devcontainer" / build["dockerfile"]).resolve()
    assert dockerfile == (ROOT / "Dockerfile").resolve()
    assert (ROOT / ".devcontainer" / build["context"]).resolve() == ROOT.resolve()
    assert re.search(rf"^FROM \S+ AS {build['target']}$", dockerfile.read_text(), re.MULTILINE)
    assert f"USER {container['remoteUser']}\n" in dockerfile.read_text()
    assert container["postCreateCommand"] == "make .venv/.ready"
    assert container["forwardPorts"] == [8888]


def test_any_two_settings_of_the_matrix_meet():
    assert {len(row) for row in matrix.ROWS} == {len(matrix.SETTINGS)}
    for columns in itertools.combinations(zip(*matrix.ROWS), 2):
        pairs = itertools.product(*map(set, columns))
        assert set(zip(*columns)) == set(pairs)
