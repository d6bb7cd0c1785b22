"""The command `python -m d2lutils.experiments NAME`, which records an experiment again."""

import argparse
import signal

from ..runtime import import_mxnet, set_threads

if __name__ == "__main__":  # `python -m` has imported the package without MXNet
    set_threads()
    import_mxnet()

from . import FOLDER
from .recording import record
from .runs import EXPERIMENTS


def run(name, seeds=5, full=False):
    """Run an experiment with the seeds 0, 1, ... and record it; with `full`, as NAME_full.

    If it was interrupted before, it continues there. Raises KeyError for an unknown name.
    """
    path, command = FOLDER / f"{name}.csv", f"python -m d2lutils.experiments {name} --seeds {seeds}"
    experiment = EXPERIMENTS[name]
    if full:
        experiment, path = experiment.full, path.with_stem(f"{name}_full")
        command = f"{command} --full"
    record(experiment, path, seeds, command)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m d2lutils.experiments",
        description="Record an experiment of the course again. After an interruption, it continues.",
    )
    parser.add_argument("name", nargs="?", choices=EXPERIMENTS, help="without one: list them all")
    parser.add_argument("--seeds", type=int, default=5, help="how many (5)")
    parser.add_argument("--full", action="store_true", help="60,000 images, ten epochs")
    options = parser.parse_args(arguments)
    if options.name is None:
        for name, experiment in EXPERIMENTS.items():
            what = experiment.train.__doc__.splitlines()[0]
            epochs = f"{experiment.epochs} epoch" + "s" * (experiment.epochs > 1)
            print(f"{name:<15} {what}")
            print(
                f"{'':<15} {len(experiment.settings)} settings, {experiment.images:,} images, {epochs}"
            )
        return
    if options.seeds < 1:
        parser.error(f"seeds must be a positive integer, not {options.seeds}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the workers stop too
    run(options.name, options.seeds, options.full)


if __name__ == "__main__":
    main()
