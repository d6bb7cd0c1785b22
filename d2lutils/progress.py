"""The progress bar of `fit`."""

import contextlib
import sys
import time

from IPython import get_ipython
from IPython.display import display


class Progress:
    """One line for each finished epoch, and a bar for the current one that disappears at its end.

    In a notebook, all of it is one output. Elsewhere the lines go to stdout, and the bar is shown
    only in a terminal.
    verbose: False shows nothing. It becomes False if displaying fails, so that training never stops
    because of its bar. If the bar's characters cannot be displayed, plain ones replace them.
    """

    def __init__(self, verbose):
        self.verbose, self.lines, self.last = verbose, [], 0.0
        self.handle, self.characters = None, "█░"
        with self._harmless():
            if verbose and get_ipython() is not None:
                self.handle = display({"text/plain": ""}, raw=True, display_id=True)

    def bar(self, epoch, fraction):
        """Show which fraction (0 to 1) of an epoch (0, 1, ...) is done, at most five times a second."""
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
        """Remove the bar."""
        with self._harmless():
            if self.handle is not None:
                self.handle.update({"text/plain": "\n".join(self.lines)}, raw=True)

    @contextlib.contextmanager
    def _harmless(self):
        try:
            yield
        except UnicodeEncodeError:
            self.characters = "#-"
        except Exception:  # a broken pipe, a closed stdout, a lost display
            self.verbose = False

    def _show(self, text, end):
        if self.handle is not None:
            self.handle.update({"text/plain": "\n".join([*self.lines, text])}, raw=True)
        else:
            width = 50 if sys.stdout.isatty() else 0  # long enough to overwrite the bar
            print(f"{text:<{width}}", end=end, flush=True)
