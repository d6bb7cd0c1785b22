"""Threads that fit: `fit` beside one busy neighbour and alone, with the book's loop and PyTorch."""

import os

from side_by_side import NOTICED, Contender, Table
from steps import BATCH, IMAGES, book_loop, course, pytorch


def as_if_alone(name):
    """`fit`, told that the machine does nothing else, so that it takes all cores."""
    os.getloadavg = lambda: (0.0, 0.0, 0.0)
    return course(name)


def _contenders(name):
    return {
        "`fit`": Contender(course, (name,)),
        "`fit`, all cores": Contender(as_if_alone, (name,)),
        "`d2l.train_ch6`, MXNet's own threads": Contender(book_loop, (name,)),
        "PyTorch": Contender(pytorch, (name, "contiguous_format"), "peers"),
    }


TABLES = [
    Table(
        f"{name}, 32x32, batch {BATCH}, {'beside one busy neighbour' if busy else 'alone'}",
        f"One round is an epoch of {IMAGES[name]:,} images, loading included."
        + f" The neighbour keeps one core busy, for {NOTICED} s when the first row starts." * busy,
        _contenders(name),
        busy=busy,
    )
    for name in ("BN-LeNet", "ResNet-18")
    for busy in (True, False)
]
