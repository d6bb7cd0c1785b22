"""What stands beside each process of a launched job: it starts the process, reports on it, ends it.

The launcher starts `python -m d2lutils.guard`, here or at the far end of ssh, and sends it an order:
one line of JSON. Each line that comes back is a JSON list: ["port", number], ["pid", number],
["line", text], ["alive", beats, bytes of output, connected, seconds stopped] once a second, and
["exit", status] at the end. The process is killed, with all that it has started in its group, when
stdin of the guard ends: because the launcher says so, because it was killed, or because the connection
broke. If the guard is killed, the process notices and kills itself.
"""

import contextlib
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types

BEAT = "D2LUTILS_BEAT"  # "3 1234": process 1234 beats into its file descriptor 3
PORTS = range(20_000, 32_000)  # below those that Linux gives to programs that do not ask for one
LONGEST = 65_536  # bytes; a longer line is cut


def beat():
    """Tell the launcher that this worker has made a step; outside of a launched job, do nothing."""
    with contextlib.suppress(KeyError, OSError):  # no job; a guard that is busy or gone
        pid, descriptor = os.environ[BEAT].split()
        if int(pid) == os.getpid():  # in a process of its own, the number may be that of any file
            os.write(int(descriptor), b".")


def main():
    """Do what one order says: start the process, and stay until it or the launcher has ended."""
    order = json.loads(sys.stdin.buffer.readline() or "null")
    if order is None:
        return
    port = order["port"] or _free_ports(order["address"], order["ports"])
    _tell("port", port)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # a beat never waits
    foreign = ("DMLC_", "PS_")  # settings of another job
    environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    environment["OMP_NUM_THREADS"] = str(_threads(order["sharers"]))
    environment |= {"PORT": str(port), "DMLC_PS_ROOT_PORT": str(port)} | order["environment"]
    with subprocess.Popen(
        [sys.executable, "-P", __file__, str(theirs.fileno()), *order["command"]],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
    ) as child:
        theirs.close()

        def give_up(*_):  # the launcher is silent; even a line to it may be waiting
            _kill_group(child.pid)
            os._exit(1)

        signal.signal(signal.SIGALRM, give_up)
        try:
            _tell("pid", child.pid)
            _watch(child, ours, (order["address"], port), order["patience"])
        finally:
            _kill_group(child.pid)


def _watch(child, beats, address, patience):
    """Report on a child until it has ended, or the launcher is gone.

    patience: the whole seconds after which a silent launcher is gone; 0 if there is no such limit.
    """
    output, told = Output(child.stdout.fileno()), 0
    signal.alarm(patience)
    num_beats, connected, stopped, sources = 0, False, None, [0, output, beats]
    while True:
        ready = select.select(sources, [], [], 0.1)[0]
        now = time.monotonic()
        if 0 in ready:
            if not os.read(0, 1024):
                return
            signal.alarm(patience)
        if beats in ready:
            received = len(beats.recv(LONGEST))
            num_beats += received
            if not received:
                sources.remove(beats)
        if output in ready and not output.forward():
            sources.remove(output)
        pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid and os.WIFSTOPPED(status):
            stopped = now
        elif pid and os.WIFCONTINUED(status):
            stopped = None
        elif pid:
            break
        if now - told >= 1:
            told, connected = now, connected or _listens(address)
            seconds = 0 if stopped is None else now - stopped
            _tell("alive", num_beats, output.num_bytes, connected, seconds)
    child.returncode = os.waitstatus_to_exitcode(status)
    _kill_group(child.pid)  # what it left behind could hold its output open
    for _ in range(10):  # more than a pipe holds
        if not (select.select([output], [], [], 0.1)[0] and output.forward()):
            break
    output.flush()
    _tell("exit", child.returncode)


class Output:
    """What a process prints, sent on line by line."""

    def __init__(self, descriptor):
        self.descriptor, self.rest, self.num_bytes = descriptor, b"", 0

    def fileno(self):
        return self.descriptor

    def forward(self):
        """Read once and send on the lines that are complete; returns False at the end of the output."""
        data = os.read(self.descriptor, LONGEST)
        self.num_bytes += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self._send(line)
        if len(self.rest) >= LONGEST:
            self.flush()
        return bool(data)

    def flush(self):
        """Send on a line that does not end."""
        if self.rest:
            self._send(self.rest)
        self.rest = b""

    def _send(self, line):
        _tell("line", line.decode(errors="replace").rstrip("\r"))


def _tell(*message):
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def _kill_group(pid):
    with contextlib.suppress(OSError):  # it has ended
        os.killpg(pid, signal.SIGKILL)


def _free_ports(address, number):
    """The first of so many ports in a row that no program uses at this address."""
    for first in random.sample(PORTS, 100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + number):
                stack.enter_context(socket.socket()).bind((address, port))
            return first
    raise OSError(f"{address} has no {number} free ports: is it an address of this machine?")


def _listens(address):
    """Whether MXNet has opened the port of the process."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(address) == 0


def _threads(sharers):
    """The threads of a process that shares the cores with others: at most what OMP_NUM_THREADS says."""
    from .runtime import physical_cores

    if sharers is None:
        return 1  # a server, the scheduler
    fair = max(1, physical_cores() // sharers)
    chosen = re.match(r"\s*0*([1-9]\d*)", os.environ.get("OMP_NUM_THREADS", ""))
    return min(fair, int(chosen[1])) if chosen else fair


def run(descriptor, script, *arguments):
    """Run a script in the child as `python SCRIPT ...` would, or code after "-c".

    Two things differ. The process kills its group when the guard is gone: nothing else reads or closes
    the other end of the descriptor. And a script that fails ends at once: MXNet would wait at exit for
    the other workers, which wait for this one.
    """
    os.environ[BEAT] = f"{os.getpid()} {descriptor}"
    os.set_inheritable(int(descriptor), False)
    threading.Thread(target=_follow, args=[int(descriptor)], daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    try:
        _execute(script, arguments)
        return
    except SystemExit as error:
        if not error.code:
            raise
        status = error.code
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next.tb_next  # begin with the script
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 255 or 1)


def _execute(script, arguments):
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    if script == "-c":
        code = arguments[0]
    else:
        sys.argv, module.__file__ = [script, *arguments], script
        sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
        with open(script, "rb") as file:
            code = compile(file.read(), script, "exec")
    exec(code, module.__dict__)


def _follow(descriptor):
    select.select([descriptor], [], [])  # until the guard has closed its end
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1:]:
        run(*sys.argv[1:])
    else:
        main()
