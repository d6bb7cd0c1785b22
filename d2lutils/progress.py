"""The live bar of a training."""

import contextlib
import sys
import time

from IPython import get_ipython
from IPython.display import display


class Progress:
    """Finished epochs as lines, the running one as a bar that does not stay.

    In a notebook all of it is one output; elsewhere it goes to stdout, the bar to a terminal only.
    verbose: False shows nothing. It becomes False where showing fails: a training never ends
    because of its bar. Where the bar's characters cannot be shown, plain ones take their place.
    """

    def __init__(self, verbose):
        self.verbose, self.lines, self.last = verbose, [], 0.0
        self.handle, self.characters = None, "█░"
        with self._harmless():
            if verbose and get_ipython() is not None:
                self.handle = display({"text/plain": ""}, raw=True, display_id=True)

    def bar(self, epoch, fraction):
        """Show how much of an epoch (0, 1, ...) is done, a fraction from 0 to 1; now and then."""
        with self._harmless():
            live = self.verbose and (self.handle is not None or sys.stdout.isatty())
            if live and time.perf_counter() - self.last > 0.2:
                self.last = time.perf_counter()
                done, open_ = self.characters
                bar = done * round(30 * fraction)
                self._show(f"epoch {epoch + 1:2d}  {bar:{open_}<30}  {fraction:4.0%}", end="\r")

    def line(self, text):
        """Show a line that stays."""
        with self._harmless():
            if self.verbose:
                self._show(text, end="\n")
                self.lines.append(text)

    def close(self):
        """Take the bar away."""
        with self._harmless():
            if self.handle is not None:
                self.handle.update({"text/plain": "\n".join(self.lines)}, raw=True)

    @contextlib.contextmanager
    def _harmless(self):
        try:
            yield
        except UnicodeEncodeError:
            self.characters = "#-"
        except Exception:  # a pipe nobody reads, a closed stdout, a display that is gone
            self.verbose = False

    def _show(self, text, end):
        if self.handle is not None:
            self.handle.update({"text/plain": "\n".join([*self.lines, text])}, raw=True)
        else:
            width = 50 if sys.stdout.isatty() else 0  # to the end of a bar that stood there
            print(f"{text:<{width}}", end=end, flush=True)
