"""Measure everything, or some topics, and write benchmarks/RESULTS.md: `python benchmarks [topic ...]`."""

import argparse
import importlib
import platform
import re
from datetime import date
from importlib.metadata import version
from pathlib import Path

from d2lutils.runtime import physical_cores

from side_by_side import HERE, markdown, measure

TOPICS = {
    "steps": "Training step",
    "neighbour": "Beside a busy neighbour",
    "layers": "Batch normalization alone",
    "loading": "Loading",
    "inference": "Inference",
    "memory": "Memory of a DenseNet step",
    "recipe": "Time to accuracy",
    "scaling": "Several workers",
    "course": "The course itself",
}
RESULTS = HERE / "RESULTS.md"
OPENING = """# Measured

Written by `make bench`; one section alone: `.venv/bin/python benchmarks TOPIC`. Contenders run in processes of their own,
in turn, round after round. The machine is a shared one: nothing else ran here, but neighbours may have. A row gives medians over the rounds; "first row / this"
is the first row's first figure divided by this row's, round by round: its median, and the smallest and largest. So for
images/s more than 1 says that the first row is faster, for ms that it is slower.

"""


def machine():
    """What it ran on, in a line."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    name = re.search(r"model name\s*: (.*)", text)
    wide = " with AVX-512" if "avx512f" in text else ""
    return (
        f"{date.today()}, {name[1] if name else platform.processor()}{wide}, "
        f"{physical_cores()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"MXNet {version('mxnet')}"
    )


def sections():
    """What the results hold: {heading: text below it}."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    return dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", text, flags=re.M | re.S))


def write(heading, text):
    """Put a section into the results, in place of an older one."""
    all_sections = sections() | {heading: f"\n{text}\n"}
    parts = [f"## {name}\n{all_sections[name]}" for name in TOPICS.values() if name in all_sections]
    RESULTS.write_text(OPENING + "".join(parts))


def main():
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", choices=[[], *TOPICS], metavar="topic")
    for topic in parser.parse_args().topics or TOPICS:
        parts = [f"*{machine()}*"]
        for table in importlib.import_module(topic).TABLES:
            print(f"{topic}: {table.title}", flush=True)
            parts.append(markdown(table, measure(topic, table)))
            print(parts[-1].split("\n\n", 2)[2], flush=True)
        write(TOPICS[topic], "\n\n".join(part.strip() for part in parts) + "\n")


if __name__ == "__main__":
    main()
