"""Run the notebooks under strict nbval as other processors and thread counts would run them.

`make test-matrix` calls this; it takes more than an hour. All combinations run, then the cells
that failed are listed by combination. oneDNN and OpenBLAS are told to pretend an older processor.
"""

import itertools
import os
import subprocess
import sys
import time

MATRIX = {
    "DNNL_MAX_CPU_ISA": ["SSE41", "AVX2", None],  # None: not set, the processor's best
    "OMP_NUM_THREADS": ["1", "2"],
    "OPENBLAS_CORETYPE": ["Haswell", None],
}


def failures(settings):
    """Run all notebooks with these settings; returns a line for each cell that failed."""
    environment = {k: v for k, v in os.environ.items() if k not in MATRIX}
    environment |= {k: v for k, v in settings.items() if v is not None}
    command = ["make", "test-notebooks", f"THREADS={settings['OMP_NUM_THREADS']}"]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    lines = run.stdout.splitlines()
    failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    if run.returncode != 0 and not failed:  # pytest itself broke: show what it said
        failed = lines[-10:] or [f"make ended with {run.returncode}"]
    return failed


def main():
    failed = {}
    for values in itertools.product(*MATRIX.values()):
        settings = dict(zip(MATRIX, values))
        name = "  ".join(f"{k}={v or 'unset'}" for k, v in settings.items())
        start = time.monotonic()
        failed[name] = failures(settings)
        minutes = (time.monotonic() - start) / 60
        print(f"{name}: {len(failed[name])} failed, {minutes:.1f} minutes", flush=True)
    for name, lines in failed.items():
        if lines:
            print(f"\n{name}", *lines, sep="\n  ")
    return any(failed.values())


if __name__ == "__main__":
    sys.exit(main())
