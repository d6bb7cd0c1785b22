"""Contenders measured in turn, round after round, each in a process of its own; a table of them.

A topic is a file beside this one with a list TABLES. A contender is one of its functions: it
prepares (loads, builds, compiles, warms up) and returns a function of no arguments that does one
round and returns its figures, such as {"images/s": 812.0}. A contender imports what it needs itself: PyTorch
lives in an environment of its own.
"""

import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = {"course": sys.executable, "peers": str(HERE / ".venv" / "bin" / "python")}
NOTICED = 90  # seconds after which the load average of a minute shows a neighbour: 1 - exp(-90 / 60) = 0.78
CHOSEN = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")  # each contender chooses its own


class CannotRun(Exception):
    """What a contender raises when this machine cannot run it: its message stands in its row."""


@dataclass
class Contender:
    """One row: a function of the topic's file, its arguments, and where it runs."""

    function: object
    arguments: tuple = ()
    python: str = "course"  # or "peers"
    environment: dict = field(default_factory=dict)


@dataclass
class Table:
    """What to compare; `text` says what one round does. Ratios are the first row's to each other's."""

    title: str
    text: str
    contenders: dict  # label: Contender
    rounds: int = 5
    busy: bool = False  # beside a process that keeps one core busy
    limit: float = 600  # seconds that a round, or a preparation, may take
    compare: bool = True  # whether ratios make sense


def measure(topic, table):
    """All rounds of all contenders in turn: {label: list of figures, or a sentence on why not}."""
    results, running = {}, {}
    with _busy_neighbour() if table.busy else contextlib.nullcontext():
        for label, contender in table.contenders.items():
            running[label] = _Process(topic, contender, table.limit)
            results[label] = []
            _ask(running, results, label)
        for _ in range(table.rounds):
            for label in list(running):
                if answer := _ask(running, results, label):
                    results[label].append(answer)
        for process in running.values():
            process.close()
    return results


def markdown(table, results):
    """The table as Markdown: medians, and how the first row compares with each other one."""
    figures = list(next((rows[0] for rows in results.values() if isinstance(rows, list)), ()))
    first = next(iter(table.contenders))
    lines = [
        f"### {table.title}\n\n{table.text}\n",
        f"| | {' | '.join(figures)} |" + " first row / this |" * table.compare,
        "|---" * (len(figures) + 1 + table.compare) + "|",
    ]
    for label, rows in results.items():
        if isinstance(rows, str):
            cells = [rows] + [""] * (len(figures) - 1 + table.compare)
            lines.append(f"| {label} | {' | '.join(cells)} |")
            continue
        cells = [_spread([row[name] for row in rows]) for name in figures]
        if table.compare:
            cells.append("")
        if table.compare and label != first and isinstance(results[first], list):
            name = figures[0]
            ratios = [a[name] / b[name] for a, b in zip(results[first], rows)]
            cells[-1] = f"**{_spread(ratios)}**"
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def seconds(work):
    """How long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _spread(values):
    """The median, and from the smallest to the largest where they differ."""
    low, middle, high = map(_number, (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ask(running, results, label):
    """One answer of a contender; one that fails leaves the race, with its last words as its result."""
    answer = running[label].answer()
    if "error" in answer:
        results[label] = answer["error"]
        running.pop(label).close()
        return None
    return answer


@contextlib.contextmanager
def _busy_neighbour():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(NOTICED)
        yield
    finally:
        process.kill()
        process.wait()


class _Process:
    """A contender at work: prepares when it starts, and plays a round whenever it is asked to."""

    def __init__(self, topic, contender, limit):
        environment = {k: v for k, v in os.environ.items() if k not in CHOSEN}
        arguments = [topic, contender.function.__name__, json.dumps(contender.arguments)]
        self.limit, self.prepared = limit, False
        self.process = subprocess.Popen(
            [PYTHON[contender.python], __file__, *arguments],
            env=environment | contender.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )

    def answer(self):
        timer = threading.Timer(self.limit, self.process.kill)
        timer.start()
        if self.prepared:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        self.prepared = True
        timer.cancel()
        return json.loads(line) if line else {"error": f"died, or took over {self.limit:.0f} s"}

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _serve(topic, function, arguments):
    """In the contender's process: one line on stdin asks for one round, one line answers it."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a contender prints must not look like one
    try:
        play = getattr(importlib.import_module(topic), function)(*json.loads(arguments))
        answers.write("{}\n")
        for _ in sys.stdin:
            answers.write(json.dumps(play()) + "\n")
    except CannotRun as reason:
        answers.write(json.dumps({"error": str(reason)}) + "\n")
    except Exception as error:
        answers.write(
            json.dumps({"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}) + "\n"
        )
        raise


if __name__ == "__main__":
    import side_by_side  # as the topic imports it: the same classes

    side_by_side._serve(*sys.argv[1:])
