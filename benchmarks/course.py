"""The course itself: time and memory of each notebook and of `make test`, and what training grows with."""

import resource
import subprocess

from side_by_side import HERE, Contender, Table, seconds

ROOT = HERE.parent


def process(command):
    """A command's time, and the memory of the largest process that it starts."""

    def play():
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        duration = seconds(lambda: subprocess.run(command, cwd=ROOT, check=True, **quiet))
        kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return {"s": duration, "MiB": kib / 1024}

    return play


def notebook(path):
    """Executed from top to bottom, its outputs thrown away."""
    return process(
        [".venv/bin/jupyter", "nbconvert", "--to=notebook", "--execute", "--stdout", path]
    )


def training(num_images, num_epochs):
    """`fit` on BN-LeNet; the time for each 1,000 images should always be the same."""
    from d2lutils import fashion_mnist, fit

    from steps import course_net

    train, _ = fashion_mnist(num_images)
    net = course_net("BN-LeNet")

    def work():
        fit(net, train, num_epochs=num_epochs, lr=0.01, verbose=False)

    work()

    def play():
        duration = seconds(work)
        return {"s": duration, "ms for 1,000 images": 1e6 * duration / num_images / num_epochs}

    return play


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted(
    (ROOT / "notebooks" / "solutions").glob("*.ipynb")
)

TABLES = [
    Table(
        "What training grows with",
        "BN-LeNet, batch 128. Twice the images or twice the epochs should take twice the time.",
        {
            f"{images:,} images, {epochs} epoch{'s' * (epochs > 1)}": Contender(
                training, (images, epochs)
            )
            for images, epochs in [(5_120, 1), (10_240, 1), (20_480, 1), (10_240, 2), (10_240, 4)]
        },
        compare=False,
    ),
    Table(
        "Each notebook, and all tests",
        "Time, and memory of the largest process. `make test` runs the notebooks again, on one thread each.",
        {str(p.relative_to(ROOT)): Contender(notebook, (str(p),)) for p in NOTEBOOKS}
        | {"`make test`": Contender(process, (["make", "test"],))},
        rounds=1,
        limit=3600,
        compare=False,
    ),
]
