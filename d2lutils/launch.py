"""Start a job of several workers on this machine or on several, and end it when anything fails.

    python -m d2lutils.launch --workers 2 train.py --epochs 3

A worker is a process that runs the script. The workers of a job share a key-value store of MXNet: a
scheduler brings them together with servers, which add up what the workers send (Li et al. 2014,
"Scaling Distributed Machine Learning with the Parameter Server", section 3). The engine itself waits
forever for a process that has died. The launcher ends the whole job and names that process.

What the processes say to each other is neither encrypted nor authenticated. On one machine they listen
on the loopback address only. With a hosts file they listen on the addresses of the hosts: use it only
in a network where you trust everybody. A line of a hosts file is

    host [folder [python]]

The host is a name or an address that this machine knows and that ssh can reach without a password,
with `user@` in front if need be. Unless the line says otherwise, folder and Python have the same paths
there as here; a relative folder is in the home folder there. `#` starts a comment. The workers go to
the hosts in turn; a host with two lines gets twice as many. Scheduler and servers go to the first host.
"""

import argparse
import collections
import contextlib
import functools
import json
import math
import os
import re
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

MOST = 64  # processes on a machine: a worker takes 200 MB before it trains
ENGINE = "import mxnet"  # all that a server or the scheduler runs: DMLC_ROLE says what it is
HOST = re.compile(r"(\w[\w.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*", re.ASCII)
SIGNALS = {number.value: number.name for number in signal.Signals}

Host = collections.namedtuple("Host", "name address folder python")
HERE = Host(None, "127.0.0.1", None, None)


class JobFailed(RuntimeError):
    """A job was ended. The message says in one sentence who failed, and has that process's last lines."""


def launch(script, *arguments, workers=2, servers=1, hosts=None, limit=60, show=print):
    """Run a script in several workers; return when all have ended well.

    script: the path of a Python file. Each worker runs it with the same arguments.
    hosts: the path of a hosts file (see above); None stands for this machine.
    limit: how many seconds the job may go on while no worker makes progress, or while one of its
    processes is stopped or not heard of. Output is progress, and so is a call of
    `d2lutils.guard.beat`, which `fit` makes after each step. A script that computes for a longer time
    without either needs a larger limit.
    show: a function that gets each line of output, such as "worker 0: connected".

    Worker 0 is the one whose `kvstore.rank` is 0, and so on: MXNet numbers the workers by their
    addresses and ports, and these are chosen accordingly. (If a program takes such a port in the
    seconds before MXNet opens it, MXNet chooses another, and then names and ranks may differ.) The
    workers of a machine share its cores; OMP_NUM_THREADS can only lower the threads of each.

    When this function returns or raises, all processes of the job have been killed. Their guards also
    kill them if this process is killed, and, on other hosts, if they do not hear from it for `limit`
    seconds, for instance because Ctrl-Z has stopped it.

    Raises JobFailed if a process fails, is killed, or passes the limit, and ValueError for wrong
    arguments. KeyboardInterrupt passes through.
    """
    for name, value in {"workers": workers, "servers": servers}.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1, not {value!r}.")
    if not isinstance(limit, int | float) or not 0 < limit < math.inf:
        raise ValueError(f"limit must be a positive number of seconds, not {limit!r}.")
    if hosts is None and not os.path.isfile(script):
        raise ValueError(f"script must be the path of a Python file, and {str(script)!r} is none.")
    places = [HERE] if hosts is None else read_hosts(hosts)
    if workers + servers > MOST * len(places):
        raise ValueError(
            f"{workers:,} workers and {servers:,} servers are too many for {len(places)} machine(s): "
            f"start at most {MOST} processes on each."
        )
    chosen = [places[i % len(places)] for i in range(workers)]
    chosen.sort(key=lambda host: host.address, reverse=True)  # the order of MXNet
    job = [Process("scheduler", places[0])]
    job += [Process(f"server {i}", places[0]) for i in range(servers)]
    job += [Process(f"worker {i}", host) for i, host in enumerate(chosen)]
    for process in job:
        process.order = {
            "command": ["-c", ENGINE],
            "address": process.host.address,
            "ports": len(job),
            "sharers": None,
            "patience": math.ceil(limit) if process.host.name else 0,
            "environment": {
                "DMLC_ROLE": process.role,
                "DMLC_PS_ROOT_URI": places[0].address,
                "DMLC_NODE_HOST": process.host.address,
                "DMLC_NUM_WORKER": str(workers),
                "DMLC_NUM_SERVER": str(servers),
            },
        }
        if process.role == "worker":
            process.order["command"] = [str(script), *map(str, arguments)]
            process.order["sharers"] = [host.address for host in chosen].count(process.host.address)
    try:
        _supervise(job, limit, show)
    finally:
        for process in job:
            process.close()
        deadline = time.monotonic() + 5
        for process in job:
            process.wait(deadline)


def read_hosts(path):
    """The hosts of a file, in its order. Raises ValueError, which says what is wrong with which line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"hosts: {path} cannot be read ({error}).") from None
    hosts = []
    for number, line in enumerate(lines, 1):
        here = f"{path}, line {number}: {line.strip()!r}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation without an end
            words = [line]
        if not words:
            continue
        if len(words) > 3 or not HOST.fullmatch(words[0]):
            raise ValueError(f"{here} must be `host [folder [python]]`.")
        try:
            address = socket.gethostbyname(words[0].split("@")[-1])
        except OSError as error:
            raise ValueError(
                f"{here}: this machine finds no address of the host ({error})."
            ) from None
        hosts.append(
            Host(words[0], address, *words[1:], *[os.getcwd(), sys.executable][len(words) - 1 :])
        )
    if len({host.address.startswith("127.") for host in hosts}) != 1:
        raise ValueError(
            f"{path} must name at least one host. If one of several is this machine, write the "
            "address by which the others reach it, and not one that begins with 127."
        )
    return hosts


class Process:
    """A process of the job, as its guard reports on it."""

    def __init__(self, name, host):
        self.name, self.role, self.host = name, name.split()[0], host
        self.where = f"{name} on {host.name}" if host.name else name
        self.guard = self.port = self.pid = self.status = None
        self.lost, self.connected, self.stopped = False, False, 0
        self.beats = self.num_bytes = 0
        self.rest, self.last = b"", collections.deque(maxlen=20)

    def start(self, port=None):
        """Start the guard, and send it its order. It chooses the port if none is given."""
        command = [sys.executable, "-m", "d2lutils.guard"]
        if self.host.name:
            there = shlex.join([self.host.python, *command[1:]])
            there = f"cd {shlex.quote(self.host.folder)} && exec {there}"
            command = ["ssh", "-o", "BatchMode=yes", self.host.name, there]
        try:
            self.guard = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the launcher alone
            )
        except OSError as error:  # no ssh, too many processes
            raise JobFailed(f"{self.where} cannot be started ({error}).") from None
        self.heard = self.moved = time.monotonic()
        self.send(json.dumps({**self.order, "port": port}))

    def send(self, text=""):
        """Send the guard a line; an empty one is a sign of life."""
        with contextlib.suppress(OSError):  # the guard has ended
            self.guard.stdin.write(f"{text}\n".encode())

    def receive(self, show):
        """Read what the guard has sent; returns False when that is all. Without a status, it is lost."""
        data = self.guard.stdout.read(65_536)
        self.heard, self.lost = time.monotonic(), not data and self.status is None
        *lines, self.rest = (self.rest + (data or b"\n")).split(b"\n")
        for line in filter(None, lines):
            try:
                message = json.loads(line)
            except ValueError:  # said by ssh, by the shell there, or by a Python without d2lutils
                message = ["line", line.decode(errors="replace")]
            match message:
                case ["port", port]:
                    self.port = port
                case ["pid", pid]:
                    self.pid = pid
                case ["alive", beats, num_bytes, connected, stopped]:
                    if (beats, num_bytes) != (self.beats, self.num_bytes):
                        self.moved = self.heard
                    self.beats, self.num_bytes = beats, num_bytes
                    self.connected, self.stopped = connected, stopped
                case ["exit", status]:
                    self.status = status
                case ["line", text]:
                    self.last.append(text)
                    show(f"{self.name}: {text}")
        return bool(data)

    def fail(self, sentence):
        """Raise JobFailed with a sentence about this process, and with its last lines."""
        lines = "".join(f"\n    {line}" for line in self.last)
        printed = f"Its last lines:{lines}" if lines else "It has printed nothing."
        raise JobFailed(f"The job was ended: {sentence}. {printed}")

    def close(self):
        """Tell the guard to kill the process."""
        if self.guard is not None:
            self.guard.stdin.close()
            self.guard.stdout.close()

    def wait(self, deadline):
        """Wait until the guard has done so. If it does not, kill it, and the process if it is here."""
        if self.guard is None:
            return
        try:
            self.guard.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.guard.kill()
            self.guard.wait()
        if self.status is None and self.pid is not None and not self.host.name:
            with contextlib.suppress(OSError):  # it has ended
                os.killpg(self.pid, signal.SIGKILL)


def _supervise(job, limit, show):
    """Start the processes, and show what they print until all workers have ended."""
    workers = [process for process in job if process.role == "worker"]
    told = before = time.monotonic()
    with selectors.DefaultSelector() as selector:

        def start(process, port=None):
            process.start(port)
            selector.register(process.guard.stdout, selectors.EVENT_READ, process)

        start(job[0])
        while any(worker.status != 0 for worker in workers):
            for key, _ in selector.select(0.2):
                if not key.data.receive(show):
                    selector.unregister(key.fileobj)
            if job[0].port and job[1].guard is None:
                for i, process in enumerate(job[1:], 1):
                    process.order["environment"]["DMLC_PS_ROOT_PORT"] = str(job[0].port)
                    start(process, job[0].port + i)
            started = [process for process in job if process.guard is not None]
            now = time.monotonic()
            for process in started:  # the launcher may have been stopped; it heard nothing then
                process.heard += max(0, now - before - 1)
                process.moved += max(0, now - before - 1)
                if now - told > 1:
                    process.send()
            before, told = now, now if now - told > 1 else told
            _judge(started, workers, limit, now)


def _judge(started, workers, limit, now):
    """Raise JobFailed if a process has failed or passed the limit."""
    for process in started:
        if process.status is not None and process.status < 0:
            number = -process.status
            process.fail(f"{process.where} was killed by {SIGNALS.get(number, f'signal {number}')}")
        if process.status:
            process.fail(f"{process.where} failed with exit status {process.status}")
        if process.lost:
            process.fail(f"the connection to {process.where} broke")
    running = [process for process in started if process.status is None]
    for process in running:
        if process.stopped > limit:
            process.fail(f"{process.where} has been stopped for {process.stopped:.0f} seconds")
        if now - process.heard > limit:
            silence = f"{now - process.heard:.0f} seconds"
            process.fail(f"nothing has been heard from {process.where} for {silence}")
    waiting = [worker for worker in workers if worker in running]
    if all(now - worker.moved > limit for worker in waiting) and waiting:
        stall = f"no worker has made progress for {limit:g} seconds"
        for process in running:
            if process.stopped:
                process.fail(f"{process.where} is stopped, and {stall}")
        for worker in workers:
            if worker.status == 0:
                worker.fail(f"{worker.where} has ended, and {stall}")
        for process in running:
            if not process.connected:
                busy = "on a busy machine, give a larger limit"
                process.fail(f"{process.where} has not connected ({busy}), and {stall}")
        last = min(waiting, key=lambda worker: (worker.beats, worker.moved))
        silence = f"{now - last.moved:.0f} seconds of silence"
        if len({worker.beats for worker in workers}) == 1 < len(workers):  # who waits for whom?
            last.fail(f"{stall}; the longest silent is {last.where}, with {silence}")
        last.fail(f"{stall}; the last is {last.where}, with {last.beats} beats and {silence}")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m d2lutils.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The exit status is 0 if all workers ended well, 1 if the job failed, 2 for wrong "
        "arguments, 130 after Ctrl-C.",
    )
    parser.add_argument("--workers", type=int, default=2, help="how many (default: %(default)s)")
    parser.add_argument("--servers", type=int, default=1, help="how many (default: %(default)s)")
    parser.add_argument("--hosts", help="a hosts file; without one, all run on this machine")
    parser.add_argument(
        "--limit",
        type=float,
        default=60,
        help="seconds after which a job is ended in which no worker prints a line, makes a step in "
        "`fit` or calls `d2lutils.guard.beat` (default: %(default)s)",
    )
    parser.add_argument("script", help="the Python file that each worker runs; options come before")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script gets")
    options = vars(parser.parse_args(arguments))
    sys.stdout.reconfigure(errors="replace")
    show = functools.partial(print, flush=True)
    try:
        launch(options.pop("script"), *options.pop("arguments"), **options, show=show)
    except ValueError as error:
        parser.error(str(error))
    except JobFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("The job was ended by Ctrl-C.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
