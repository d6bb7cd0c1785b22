"""Several workers: images/s with MXNet's store between them; and the time that a checkpoint takes.

Run as a script, this file is what one worker does: `python scaling.py NAME`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import HERE, Contender, Table, seconds
from steps import BATCH, IMAGES, course_net

JOB = {"BN-LeNet": 10_240, "ResNet-18": 1_920}  # images of an epoch in one job


def worker(name):
    """Two epochs, the first to warm up; worker 0 prints the images/s of the second, of all workers.

    Outside of a job: one process without a store.
    """
    from d2lutils import fashion_mnist, fit
    from d2lutils.workers import connect

    kvstore = connect() if "DMLC_ROLE" in os.environ else None
    train, _ = fashion_mnist(JOB[name])
    settings = {"num_epochs": 2, "lr": 0.01, "batch_size": BATCH, "verbose": False}
    net = course_net(name)
    history = fit(net, train, kvstore=kvstore, **settings)
    figures = {
        "images/s": JOB[name] / history.seconds[1],
        "ms for the gradients": exchange(net, kvstore),
    }
    if kvstore is None or kvstore.rank == 0:
        print(json.dumps(figures), flush=True)


def exchange(net, kvstore):
    """Milliseconds to exchange arrays as large as the gradients, while nothing is computed."""
    from mxnet import np, npx

    if kvstore is None:
        return 0
    parameters = net.collect_params().values()
    arrays = {
        2_000_000 + i: np.zeros(p.shape) for i, p in enumerate(parameters) if p.grad_req != "null"
    }
    for key, array in arrays.items():
        kvstore.broadcast(key, array, out=array)

    def once():
        for key, array in arrays.items():
            kvstore.pushpull(key, array)
        npx.waitall()

    return 1000 * min(seconds(once) for _ in range(5))


def job(name, workers=0, threads=None):
    """The function of one round: a job from its start to its end; 0 workers: one process, no store.

    threads: of all workers together; None: as many as there are physical cores. Each has at least one.
    """
    from d2lutils.launch import launch
    from d2lutils.runtime import physical_cores

    each = max(1, (threads or physical_cores()) // max(1, workers))
    os.environ["OMP_NUM_THREADS"] = str(each)  # of what starts here

    def play():
        lines = []
        if workers:
            launch(__file__, name, workers=workers, show=lines.append)
        else:
            command = [sys.executable, __file__, name]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            lines += run.stdout.splitlines()
        answer = next(line for line in lines if '{"images/s"' in line)
        return json.loads(answer[answer.index("{") :])  # the launcher puts a name before it

    return play


def epoch(name, saves):
    """One epoch of `fit`, and what it leaves on disk; `saves`: with a checkpoint at its end."""
    from d2lutils import fashion_mnist, fit

    train, _ = fashion_mnist(IMAGES[name])
    net = course_net(name)
    settings = {"num_epochs": 1, "lr": 0.01, "batch_size": BATCH, "verbose": False}

    def play():
        with tempfile.TemporaryDirectory(dir=HERE, suffix=".partial") as folder:  # not in memory
            resume = folder if saves else None
            duration = seconds(lambda: fit(net, train, resume=resume, **settings))
            files = [path for path in Path(folder).rglob("*") if path.is_file()]
            mib = sum(path.stat().st_size for path in files) / 2**20
        return {"s": duration, "MiB on disk": mib}

    play()
    return play


TABLES = [
    Table(
        f"{name}, 32x32, batch {BATCH}, several workers",
        f"One round is a job of two epochs of {images:,} images on this machine: one server, and the "
        f"workers. Images/s are those of all workers together in the second epoch; {BATCH} is the "
        "batch of all together. ms are for one exchange of all gradients, with nothing to compute. "
        "Where the row says no more, there are as many threads in all as physical cores, but at "
        "least one for each worker: on two cores, four workers have four. One divided by the last "
        "column is the speed-up over one process on the same cores.",
        {
            "one process, no store": Contender(job, (name,)),
            "one process, no store, one thread": Contender(job, (name, 0, 1)),
            "one worker": Contender(job, (name, 1)),
            "two workers": Contender(job, (name, 2)),
            "four workers": Contender(job, (name, 4)),
        },
        rounds=3,
    )
    for name, images in JOB.items()
] + [
    Table(
        f"{name}, 32x32, batch {BATCH}, with a checkpoint",
        f"One round is a call of `fit` for one epoch of {IMAGES[name]:,} images, one process without "
        "a store. A longer epoch adds nothing to a checkpoint but the losses of its steps.",
        {
            "no checkpoint": Contender(epoch, (name, False)),
            "a checkpoint after the epoch (`resume`)": Contender(epoch, (name, True)),
        },
    )
    for name in JOB
]

if __name__ == "__main__":
    worker(sys.argv[1])
