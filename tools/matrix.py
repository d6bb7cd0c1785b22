"""Run the notebooks under strict nbval as other processors and thread counts would run them.

`make test-matrix` calls this; it takes more than an hour. oneDNN and OpenBLAS are told to pretend an
older processor. All rows run, then the cells that failed are listed by row.
"""

import os
import subprocess
import sys
import time

SETTINGS = ("DNNL_MAX_CPU_ISA", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE")
ROWS = [  # None: not set, the processor's best. Any two values of two settings meet in a row.
    ("SSE41", "1", "Haswell"),
    ("SSE41", "2", None),
    ("AVX2", "1", None),
    ("AVX2", "2", "Haswell"),
    (None, "1", "Haswell"),
    (None, "2", None),
]


def failures(settings):
    """Run all notebooks with these settings; returns a line for each cell that failed."""
    environment = {k: v for k, v in os.environ.items() if k not in SETTINGS}
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
    for values in ROWS:
        settings = dict(zip(SETTINGS, values))
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
