"""The launcher of jobs with several workers: what it starts, what it says, and that nothing stays."""

import collections
import contextlib
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import uuid

from d2lutils import guard, launch, runtime
from d2lutils.launch import JobFailed, Process, read_hosts

import psutil
import pytest

MARK = "D2LUTILS_TEST"  # in the environment of all processes that a test starts
ENGINE = """
import os, socket, time
port = socket.create_server((os.environ["DMLC_NODE_HOST"], int(os.environ["PORT"])))
time.sleep(1000)
"""  # opens its port as MXNet does, and waits
WORKER = (
    "import os, sys, time, subprocess\nfrom signal import *\nme = int(os.environ['PORT']) - 2\n"
)
WORKER += "me -= int(os.environ['DMLC_PS_ROOT_PORT'])\n"  # scheduler, server 0, worker 0, worker 1
SOON = 60  # seconds that a busy machine may take for what needs a moment


def marked(value):
    """The processes with this mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == value:
                found.append(process)
    return found


def wait_for(condition):
    end = time.monotonic() + SOON
    while not (result := condition()):
        assert time.monotonic() < end, f"{condition} did not come true in {SOON} seconds"
        time.sleep(0.05)
    return result


@pytest.fixture(autouse=True)
def mark(monkeypatch):
    """After each test, none of its processes is left."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    yield value
    wait_for(lambda: not marked(value))


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    monkeypatch.setattr(launch, "ENGINE", ENGINE)


@pytest.fixture
def job(tmp_path):
    """Run a job of workers with this text; returns its lines."""

    def run(text, *arguments, limit=SOON, **options):
        script, lines = tmp_path / "script.py", []
        script.write_text(WORKER + text, encoding="utf-8")
        launch.launch(script, *arguments, limit=limit, show=lines.append, **options)
        return lines

    return run


def said_by(worker, lines):
    return [line.partition(": ")[2] for line in lines if line.startswith(f"worker {worker}: ")]


# What a worker gets, and how its words come out


def test_each_line_has_the_name_of_its_worker(job):
    lines = job("print(me, sys.argv[1:])\nprint('once more', file=sys.stderr)", "a b", 3)
    for i in range(2):
        assert said_by(i, lines) == [f"{i} ['a b', '3']", "once more"]
    assert len(lines) == 4


def test_a_script_runs_as_python_would_run_it(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helper.py").write_text("name = 'helper beside the script'")
    text = """
import helper, pickle
def f(): return helper.name
print(pickle.loads(pickle.dumps(f))(), __name__, __file__ == sys.argv[0], os.getcwd())
"""
    lines = job(text, workers=1)
    assert said_by(0, lines) == [f"helper beside the script __main__ True {tmp_path}"]


def test_no_word_is_lost_whatever_its_bytes(job):
    text = """
sys.stdout.buffer.write(b"no UTF-8: \\xff\\n\\r\\n{}\\nnull\\n[\\"exit\\", 3]\\n" + 200_000 * b"long ")
sys.stdout.buffer.write(b"\\nno end of line")
"""
    said = said_by(0, job(text, workers=1))
    assert said[:5] == ["no UTF-8: \ufffd", "", "{}", "null", '["exit", 3]']
    assert "".join(said[5:-1]) == 200_000 * "long " and said[-1] == "no end of line"


def test_much_output_of_several_workers_comes_in_order(job):
    lines = job("for i in range(20_000): print(i, 100 * '.')")
    for worker in range(2):
        assert [int(line.split()[0]) for line in said_by(worker, lines)] == list(range(20_000))


def test_a_job_gets_its_own_settings_of_the_engine_only(job, monkeypatch):
    for name in ("DMLC_INTERFACE", "PS_VERBOSE", "DMLC_ROLE", "PORT"):
        monkeypatch.setenv(name, "foreign")
    text = "print({k: v for k, v in os.environ.items() if k[:5] in ('DMLC_', 'PORT') or k[:3] == 'PS_'})"
    lines = job(text, workers=2, servers=3)
    for i in range(2):
        found = eval(said_by(i, lines)[0])
        first = int(found.pop("DMLC_PS_ROOT_PORT"))
        assert first in guard.PORTS and found == {
            "DMLC_ROLE": "worker",
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_NODE_HOST": "127.0.0.1",
            "DMLC_NUM_WORKER": "2",
            "DMLC_NUM_SERVER": "3",
            "PORT": str(first + 4 + i),  # after the scheduler and three servers
        }


@pytest.mark.parametrize(
    "cores, sharers, chosen, threads",
    [
        (8, 2, None, 4),
        (2, 4, None, 1),
        (8, 2, "3", 3),
        (8, 2, "16", 4),
        (8, 1, "2,1", 2),
        (8, None, "4", 1),
    ],
)
def test_the_workers_of_a_machine_share_its_cores(monkeypatch, cores, sharers, chosen, threads):
    monkeypatch.setattr(runtime, "physical_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    assert guard._threads(sharers) == threads


def test_taken_ports_are_avoided(monkeypatch):
    with launch.socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(guard.random, "sample", lambda *_: [port - 1, port, port + 1])
        assert guard._free_ports("127.0.0.1", 2) == port + 1
        monkeypatch.setattr(guard.random, "sample", lambda *_: [port])
        with pytest.raises(OSError, match="has no 2 free ports"):
            guard._free_ports("127.0.0.1", 2)


def test_outside_of_a_job_a_beat_does_nothing(monkeypatch, tmp_path):
    guard.beat()
    with open(tmp_path / "file", "wb") as file:  # a process that a worker has started
        monkeypatch.setenv(guard.BEAT, f"{os.getppid()} {file.fileno()}")
        guard.beat()
    assert (tmp_path / "file").read_bytes() == b""
    monkeypatch.setenv(guard.BEAT, f"{os.getpid()} 9999")  # closed
    guard.beat()


# How a job fails


@pytest.mark.parametrize(
    "text, how, last",
    [
        ("os.kill(os.getpid(), SIGKILL)", "was killed by SIGKILL", "ready"),
        ("sys.exit(3)", "failed with exit status 3", "ready"),
        ("sys.exit(256)", "failed with exit status 1", "ready"),  # the system would make it 0
        ("sys.exit('no data')", "failed with exit status 1", "no data"),
        ("1 / 0", "failed with exit status 1", "ZeroDivisionError: division by zero"),
        ("os.kill(os.getppid(), SIGKILL); time.sleep(1000)", "broke", ""),  # its guard
    ],
)
def test_a_worker_that_fails_ends_the_job(job, text, how, last):
    with pytest.raises(JobFailed) as failure:
        job(f"print('ready')\nif me == 1:\n    {text}\ntime.sleep(1000)")
    sentence = str(failure.value).splitlines()[0]
    assert sentence.startswith("The job was ended: ") and "worker 1" in sentence and how in sentence
    assert str(failure.value).endswith(last)


def test_a_traceback_begins_with_the_script(job):
    with pytest.raises(
        JobFailed, match=r"Its last lines:\n    Traceback .*\n      File .*script.py"
    ):
        job("1 / 0", workers=1)
    with pytest.raises(
        JobFailed, match=r"lines:\n      File .*script.py.*\n.*\n.*\n    SyntaxError"
    ):
        job("1 /", workers=1)


def test_a_worker_may_end_with_status_0(job):
    assert job("print('fine'); sys.exit(0)", workers=1) == ["worker 0: fine"]


@pytest.mark.parametrize("role, name", [("server", "server 0"), ("scheduler", "scheduler")])
def test_a_server_or_scheduler_that_fails_ends_the_job(job, monkeypatch, role, name):
    code = (
        f"import os, sys\nos.environ['DMLC_ROLE'] == '{role}' and sys.exit('bind failed')\n{ENGINE}"
    )
    monkeypatch.setattr(launch, "ENGINE", code)
    message = (
        f"The job was ended: {name} failed with exit status 1. Its last lines:\n    bind failed"
    )
    with pytest.raises(JobFailed, match=f"^{re.escape(message)}$"):
        job("time.sleep(1000)")


def test_a_job_without_progress_ends(job):
    with pytest.raises(JobFailed, match="The job was ended: "):
        job("time.sleep(1000)", limit=0.5)


def test_what_a_worker_leaves_behind_ends_with_it(job, mark):
    """The fixture `mark` looks for it."""
    sleep = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
    job(sleep)
    with pytest.raises(JobFailed):
        job(f"{sleep}os._exit(1)")


def test_an_error_while_a_line_is_shown_ends_the_job(tmp_path):
    (tmp_path / "script.py").write_text("print('word')\nimport time\ntime.sleep(1000)")

    def show(line):
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError, match="worker .: word"):
        launch.launch(tmp_path / "script.py", show=show, limit=SOON)


def judged(limit=10, now=100, **changes):
    """What is said of a job whose processes are well but for these changes."""
    job = {
        name: Process(name, launch.HERE)
        for name in ("scheduler", "server 0", "worker 0", "worker 1")
    }
    for name, process in job.items():
        process.heard, process.moved, process.beats, process.connected = now - 1, now - 1, 5, True
        for key, value in changes.get(name.replace(" ", ""), {}).items():
            setattr(process, key, value)
    workers = [job["worker 0"], job["worker 1"]]
    try:
        launch._judge(list(job.values()), workers, limit, now)
    except JobFailed as failure:
        return str(failure).removeprefix("The job was ended: ").partition(". ")[0]


SILENT = {"moved": 89}
ALL = {"worker0": SILENT, "worker1": SILENT}


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({}, None),
        ({"worker0": SILENT}, None),  # it may wait for the other
        ({"scheduler": {"status": 0}, "server0": {"status": 0}, "worker1": {"status": 0}}, None),
        ({"server0": {"status": -9}}, "server 0 was killed by SIGKILL"),
        ({"worker1": {"status": -64 + 20}}, "worker 1 was killed by signal 44"),
        ({"worker1": {"stopped": 11}}, "worker 1 has been stopped for 11 seconds"),
        ({"worker1": {"stopped": 9}}, None),
        ({"worker1": {"heard": 89}}, "nothing has been heard from worker 1 for 11 seconds"),
        (ALL | {"server0": {"stopped": 9}}, "server 0 is stopped, and "),
        (ALL | {"worker1": {"status": 0}}, "worker 1 has ended, and "),
        (
            ALL | {"worker1": SILENT | {"connected": False}},
            "worker 1 has not connected (on a busy machine, give a larger limit), and ",
        ),
        (
            ALL | {"server0": {"connected": False}},
            "server 0 has not connected (on a busy machine, give a larger limit), and ",
        ),
        (
            ALL | {"worker1": SILENT | {"beats": 4}},
            "the last is worker 1, with 4 beats and 11 seconds",
        ),
        (ALL | {"worker1": {"moved": 88}}, "the longest silent is worker 1, with 12 seconds"),
    ],
)
def test_the_sentence_names_who_keeps_the_others_waiting(changes, sentence):
    found = judged(**changes)
    assert found is None if sentence is None else sentence in found
    if sentence is not None and sentence[-4:] == "and ":
        assert found.endswith("no worker has made progress for 10 seconds")


# How a job ends when the launcher does

DRIVER = """
import sys
sys.argv[:] = ["-m"]  # as `python -m d2lutils.launch`, which does not import MXNet
from d2lutils import launch
assert "mxnet" not in sys.modules
launch.ENGINE = {engine!r}
sys.exit(launch.main({arguments!r}))
"""


@contextlib.contextmanager
def command(*arguments, engine=ENGINE):
    """The command in a process and a session of its own."""
    code = DRIVER.format(engine=engine, arguments=list(map(str, arguments)))
    # `nohup make test` hands down that a hang-up is ignored; the command must hear it.
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGHUP, ours)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["SIGINT", "SIGINT to all", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_job_ends_with_its_launcher(tmp_path, mark, name):
    script = tmp_path / "script.py"
    script.write_text("print('ready')\nimport time\ntime.sleep(1000)")
    with command("--limit", SOON, script) as process:
        assert [process.stdout.readline() for _ in range(2)].count("worker 0: ready\n") == 1
        groups = [os.getpgid(one.pid) for one in marked(mark)]
        assert groups.count(process.pid) == 1, "Ctrl-C in a terminal is for the launcher alone"
        number = getattr(signal, name.split()[0])
        (os.killpg if "all" in name else os.kill)(process.pid, number)
        assert process.wait(SOON) == (130 if number == signal.SIGINT else -number)
        if number == signal.SIGINT:
            assert not marked(mark), "the launcher ends after its processes"
            assert process.stderr.read() == "The job was ended by Ctrl-C.\n"


def test_the_command_says_how_it_went(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(*sys.argv[1:])\nsys.exit(sys.argv[-1] == '1')")
    with command("--workers", 1, script, "--lr", 0) as process:
        assert process.communicate() == ("worker 0: --lr 0\n", "") and process.returncode == 0
    with command("--workers", 1, script, "--lr", 1) as process:
        out, error = process.communicate()
    assert out == "worker 0: --lr 1\n" and process.returncode == 1
    sentence = (
        "The job was ended: worker 0 failed with exit status 1. Its last lines:\n    --lr 1\n"
    )
    assert error == sentence


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--workers", "0", __file__], "workers must be a whole number from 1, not 0"),
        (["--servers", "-1", __file__], "servers must be a whole number from 1, not -1"),
        (["--workers", "64", __file__], "64 workers and 1 servers are too many for 1 machine(s)"),
        (["--limit", "0", __file__], "limit must be a positive number of seconds, not 0.0"),
        (["--limit", "nan", __file__], "limit must be a positive number of seconds, not nan"),
        (["missing.py"], "script must be the path of a Python file, and 'missing.py' is none"),
        (["--hosts", "missing", "x.py"], "hosts: missing cannot be read"),
        ([], "the following arguments are required: script"),
    ],
)
def test_wrong_arguments_of_the_command(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.main(arguments)
    assert ended.value.code == 2 and sentence in capsys.readouterr().err


def test_wrong_arguments_of_the_function():
    with pytest.raises(ValueError, match="workers must be a whole number from 1, not '2'"):
        launch.launch(__file__, workers="2")
    with pytest.raises(ValueError, match="limit must be a positive number of seconds, not None"):
        launch.launch(__file__, limit=None)


# The guard


class Guard:
    """A guard of a worker with this code."""

    def __init__(self, code, patience=0):
        order = {"command": ["-c", code], "address": "127.0.0.1", "port": None, "ports": 1}
        order |= {
            "sharers": 1,
            "patience": patience,
            "environment": {"DMLC_NODE_HOST": "127.0.0.1"},
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "d2lutils.guard"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        with self.process:
            pass

    def next(self, kind, condition=lambda *_: True):
        """What the next message of this kind says, for which the condition holds."""
        for line in self.process.stdout:
            found, *values = json.loads(line)
            if found == kind and condition(*values):
                return values


def test_a_guard_sees_that_its_process_is_stopped():
    with Guard(ENGINE) as guarded:
        (pid,) = guarded.next("pid")
        guarded.next("alive", lambda beats, size, connected, stopped: connected and not stopped)
        os.kill(pid, signal.SIGSTOP)
        guarded.next("alive", lambda beats, size, connected, stopped: stopped)
        os.kill(pid, signal.SIGCONT)
        guarded.next("alive", lambda beats, size, connected, stopped: stopped == 0)
        os.kill(pid, signal.SIGSTOP)
        guarded.process.stdin.close()
        assert guarded.next("exit") is None
        assert not psutil.pid_exists(pid)


def test_a_guard_counts_beats_and_bytes():
    code = (
        "from d2lutils.guard import beat\nprint('word')\n[beat() for _ in range(7)]\nimport time\n"
    )
    with Guard("import sys\nsys.argv[:] = ['-m']\n" + code + "time.sleep(1000)") as guarded:
        assert guarded.next("alive", lambda beats, *_: beats)[:3] == [7, 5, False]


def test_beats_never_wait_for_the_guard():
    code = "from d2lutils.guard import beat\n[beat() for _ in range(10_000)]"
    with Guard("import sys\nsys.argv[:] = ['-m']\n" + code) as guarded:
        (pid,) = guarded.next("pid")
        os.kill(guarded.process.pid, signal.SIGSTOP)
        wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_process_dies_with_its_guard():
    with Guard(ENGINE) as guarded:
        (pid,) = guarded.next("pid")
        guarded.process.kill()
        wait_for(lambda: not psutil.pid_exists(pid))


def test_a_guard_far_away_ends_when_it_hears_nothing():
    with Guard(ENGINE, patience=2) as guarded:
        (pid,) = guarded.next("pid")
        start = time.monotonic()
        while time.monotonic() < start + 3:
            guarded.process.stdin.write(b"\n")
            guarded.process.stdin.flush()
            time.sleep(0.1)
        assert psutil.pid_exists(pid)
        assert guarded.next("exit") is None
        wait_for(lambda: not psutil.pid_exists(pid))


# Other hosts


@pytest.fixture
def fake_ssh(tmp_path, monkeypatch):
    """A program `ssh` that runs the command here; returns the file in which it notes its calls."""
    program, log = tmp_path / "bin" / "ssh", tmp_path / "calls"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$1 $2 $3" >> {shlex.quote(str(log))}\nshift 3\ncd /\nexec sh -c "$1"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address only")
def test_workers_on_other_hosts(tmp_path, fake_ssh):
    folder = tmp_path / "a 'b' $c"
    folder.mkdir()
    text = "print(os.getcwd(), os.environ['DMLC_PS_ROOT_URI'], os.environ['DMLC_NODE_HOST'], *sys.argv)"
    (folder / "train.py").write_text(WORKER + text)
    there = f"{shlex.quote(str(folder))} {shlex.quote(sys.executable)}"
    (tmp_path / "hosts").write_text(
        f"# two\n\nme@127.0.0.1 {there}\n127.0.0.2 {there}  # the second\n"
    )
    lines = []
    launch.launch(
        "train.py",
        "x y",
        "$(z)",
        workers=3,
        hosts=tmp_path / "hosts",
        show=lines.append,
        limit=SOON,
    )
    addresses = ["127.0.0.2", "127.0.0.1", "127.0.0.1"]  # as MXNet numbers them
    for i, address in enumerate(addresses):
        assert said_by(i, lines) == [f"{folder} 127.0.0.1 {address} train.py x y $(z)"]
    calls = fake_ssh.read_text().splitlines()
    assert sorted(calls) == ["-o BatchMode=yes 127.0.0.2"] + 4 * ["-o BatchMode=yes me@127.0.0.1"]


def test_a_host_that_cannot_start_anything_is_named(tmp_path, fake_ssh):
    (tmp_path / "hosts").write_text("127.0.0.1 / no-python\n")
    with pytest.raises(JobFailed) as failure:
        launch.launch("train.py", hosts=tmp_path / "hosts", limit=SOON, show=lambda line: None)
    assert re.search(
        "ended: the connection to scheduler on 127.0.0.1 broke. Its last lines:\n.*no-python.*not found",
        str(failure.value),
    )


def test_without_ssh_the_launcher_says_so(tmp_path, monkeypatch):
    (tmp_path / "hosts").write_text("127.0.0.1\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobFailed, match="scheduler on 127.0.0.1 cannot be started .*'ssh'"):
        launch.launch("train.py", hosts=tmp_path / "hosts")


def test_the_hosts_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(launch.socket, "gethostbyname", {"n1": "10.0.0.1", "n2": "10.0.0.2"}.get)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hosts").write_text(
        "n1\n # none\nme@n2 'my course' bin/python # two\nn1 elsewhere\n"
    )
    assert read_hosts("hosts") == [
        ("n1", "10.0.0.1", str(tmp_path), sys.executable),
        ("me@n2", "10.0.0.2", "my course", "bin/python"),
        ("n1", "10.0.0.1", "elsewhere", sys.executable),
    ]


@pytest.mark.parametrize(
    "text, sentence",
    [
        (
            "a\n-oProxyCommand=x",
            "hosts, line 2: '-oProxyCommand=x' must be `host [folder [python]]`",
        ),
        ("a b c d", "hosts, line 1: 'a b c d' must be"),
        ("a 'b", 'line 1: "a \'b" must be'),
        ("a;b", "line 1: 'a;b' must be"),
        ("-@a", "line 1: '-@a' must be"),
        ("none.invalid", "line 1: 'none.invalid': this machine finds no address"),
        ("# nothing", "must name at least one host"),
        ("a\n127.0.0.1", "not one that begins with 127"),
        ("\xff", "line 1: '\xff' must be"),
    ],
)
def test_a_wrong_hosts_file(tmp_path, monkeypatch, text, sentence):
    def address(name):
        if name == "none.invalid":
            raise OSError("unknown")
        return name if name[0].isdigit() else "10.0.0.1"

    monkeypatch.setattr(launch.socket, "gethostbyname", address)
    (tmp_path / "hosts").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_hosts(tmp_path / "hosts")


# With MXNet

TRAIN = """
import sys, time
import d2lutils
from d2lutils.guard import beat
import mxnet as mx

store = mx.kv.create("dist_sync")
weight = mx.np.zeros((1000,))
store.broadcast(0, weight, out=weight)
print("rank", store.rank)
for step in range(int(sys.argv[1])):
    if step == 3 and store.rank == 1:
        exec(sys.argv[2])
    beat()
    store.pushpull(0, mx.np.ones((1000,)), out=weight)
    assert float(weight[0]) == store.num_workers
    time.sleep(0.01)
print("done")
"""


@pytest.fixture
def mxnet(monkeypatch):
    monkeypatch.setattr(launch, "ENGINE", "import mxnet")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_workers_of_mxnet(job, mxnet, mark, tmp_path):
    """They meet, their ranks are those of their names, and nothing listens beyond the machine."""
    listening = set()

    def show(line):
        lines.append(line)
        if "rank" in line:
            for process in marked(mark):
                with contextlib.suppress(psutil.Error):
                    found = process.net_connections("tcp")
                    listening.update(c.laddr for c in found if c.status == psutil.CONN_LISTEN)

    lines, script = [], tmp_path / "train.py"
    script.write_text(TRAIN)
    launch.launch(script, 5, "time.sleep(1)", show=show, limit=100)
    assert said_by(0, lines) == ["rank 0", "done"] and said_by(1, lines) == ["rank 1", "done"]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    ports = sorted(address.port for address in listening)
    assert ports == list(range(ports[0], ports[0] + 4)), "scheduler, server, two workers"


# Faults: `pytest -m faults tests/test_launch.py`

LIMIT, GRACE = 30, 30  # seconds: the import of MXNet counts as silence; the machine may be busy

Fault = collections.namedtuple("Fault", "victim number message seconds lines")


def struck(script, *arguments, mark, seed, number, limit=LIMIT, target="process", **options):
    """Run a job, and send a signal to one of its processes at a moment; the seed chooses both.

    target: "guard" strikes the guard of the process instead. Returns who was struck by what, how the job
    failed, and how many seconds after that.
    """
    rng, lines, strike = random.Random(seed), [], {}
    workers, servers = options.get("workers", 2), options.get("servers", 1)

    def children():
        found = {}
        for process in marked(mark):
            with contextlib.suppress(psutil.Error, KeyError):
                environment = process.environ()
                index = int(environment["PORT"]) - int(environment["DMLC_PS_ROOT_PORT"])
                found[index] = process
        return len(found) == 1 + servers + workers and found

    def run():
        index, process = rng.choice(sorted(wait_for(children).items()))
        time.sleep(rng.uniform(0, 8))
        names = ["scheduler", *(f"server {i}" for i in range(servers))]
        names += [f"worker {i}" for i in range(workers)]
        strike.update(victim=names[index], time=time.monotonic())
        (process.parent() if target == "guard" else process).send_signal(number)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with pytest.raises(JobFailed) as failure:
            launch.launch(script, *arguments, limit=limit, show=lines.append, **options)
        seconds = time.monotonic() - strike["time"]
    finally:
        thread.join()
    assert not marked(mark), "nothing is left when the function ends"
    return Fault(strike["victim"], number, str(failure.value), seconds, lines)


@pytest.fixture
def train(tmp_path, mxnet):
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    return script


RESUMED = """
import sys, time
import d2lutils
from d2lutils import fashion_mnist, fit, lenet
from d2lutils.workers import connect
from mxnet import init
from mxnet.gluon import nn

folder, pause = sys.argv[1], float(sys.argv[2])
store = connect()
net = lenet(nn.BatchNorm, "relu")
d2lutils.seed_everything(0)
net.initialize(init.Xavier())

class Slow(nn.Sequential):
    def forward(self, X):
        time.sleep(pause)  # seconds a step
        return super().forward(X)

slow = Slow()
slow.add(net)
fit(slow, fashion_mnist(300)[0], num_epochs=6, batch_size=60, verbose=False, kvstore=store, resume=folder)
print("done")
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A training script, and what its last checkpoints hold when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    script = folder / "resumed.py"
    script.write_text(RESUMED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(launch, "ENGINE", "import mxnet")
        launch.launch(script, folder / "checkpoints", 0, show=str)
    return script, saved(folder / "checkpoints")


def saved(folder):
    """What the checkpoints of the last epoch hold, the checksums of all weights among it."""
    found = {}
    for path in folder.glob("epoch-0006-worker-*/about.json"):
        found[path.parent.name] = about = json.loads(path.read_text())
        del about["history"]["seconds"]
    assert len(found) == 2, "two workers should have saved the last epoch"
    return found


@pytest.mark.faults
@pytest.mark.timeout(300)  # two jobs, and the first one of a process a third
@pytest.mark.parametrize("seed", range(int(os.environ.get("FAULT_ROUNDS", 10))))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["KILL", "STOP"])
def test_a_process_is_struck_at_any_moment(undisturbed, mxnet, mark, number, seed, tmp_path):
    """The job ends, says who it was, and goes on from its checkpoints to the same end, bit for bit."""
    script, expected = undisturbed
    fault = struck(script, tmp_path, 0.5, mark=mark, seed=seed, number=number)
    stopped = number == signal.SIGSTOP
    assert fault.seconds < GRACE + LIMIT * stopped, fault
    how = "(is|has been) stopped" if stopped else "was killed by SIGKILL"
    assert re.match(f"The job was ended: {fault.victim} {how}", fault.message), fault
    launch.launch(script, tmp_path, 0, show=str)
    assert saved(tmp_path) == expected


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["KILL", "STOP"])
def test_a_guard_is_struck_at_any_moment(train, mark, number, seed):
    fault = struck(train, 10**6, "", mark=mark, seed=seed, number=number, target="guard")
    stopped = number == signal.SIGSTOP
    assert fault.seconds < GRACE + LIMIT * stopped, fault
    how = "nothing has been heard from {}" if stopped else "the connection to {} broke"
    assert how.format(fault.victim) in fault.message, fault


@pytest.mark.faults
@pytest.mark.parametrize(
    "text, sentence",
    [
        ("1 / 0", "worker 1 failed with exit status 1"),
        ("sys.exit(4)", "worker 1 failed with exit status 4"),
        ("import os; os._exit(0)", "worker 1 has ended, and no worker has made progress"),
        ("time.sleep(1000)", "the last is worker 1, with 3 beats"),
    ],
)
def test_a_worker_fails_while_the_others_wait(train, text, sentence):
    with pytest.raises(JobFailed) as failure:
        launch.launch(train, 10**6, text, limit=LIMIT)
    assert sentence in str(failure.value)


@pytest.mark.faults
@pytest.mark.parametrize(
    "text, sentence",
    [
        (
            "time.sleep(1000)",
            "worker 1 has not connected (on a busy machine, give a larger limit), and no worker",
        ),
        ("sys.exit()", "worker 1 has ended, and no worker has made progress"),
    ],
)
def test_a_worker_never_connects(job, mxnet, text, sentence):
    with pytest.raises(JobFailed) as failure:
        job(f"if me == 1:\n    {text}\n{TRAIN}", 10**6, "", limit=LIMIT)
    assert sentence in str(failure.value)


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["INT", "KILL"])
def test_a_job_of_mxnet_ends_with_its_launcher(train, mark, number):
    with command("--limit", LIMIT, train, 10**6, "", engine="import mxnet") as process:
        assert "rank" in process.stdout.readline()
        assert len(marked(mark)) == 9, "the launcher, and four processes with their guards"
        process.send_signal(number)
        assert process.wait(GRACE) == (130 if number == signal.SIGINT else -number)
