"""One palette, the few pictures that more than one notebook draws, and how a figure is shown."""

import base64
import html
import io

from d2l import mxnet as d2l
from IPython.display import display

plt = d2l.plt
COLORS = {
    "without BN": "#d1495b",
    "with BN": "#00798c",
    "normalized once": "#8a8a8a",
    "plain": "#c77d0a",
    "residual": "#3066be",
    "dense": "#5b2a86",
    "layer norm": "#303030",
    "group norm": "#9030f0",
}


def plot_history(history, label="", color=None, axes=None):
    """Loss and accuracy of a `History` against epochs, training dashed, test solid."""
    if axes is None:
        _, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    epochs = range(1, len(history.seconds) + 1)
    for ax, what in zip(axes, ("loss", "accuracy")):
        (line,) = ax.plot(
            epochs, getattr(history, f"train_{what}"), "--", color=color, label=f"{label} train"
        )
        if history.test_loss:
            ax.plot(
                epochs,
                getattr(history, f"test_{what}"),
                "-o",
                color=line.get_color(),
                label=f"{label} test",
            )
        ax.set(xlabel="epoch", ylabel=what, xticks=epochs)
        ax.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    return axes


def show(alt):
    """Show the current figure. alt: one sentence that says what it shows, for those who cannot see it.

    JupyterLab and exports to HTML take the picture with its sentence, other programs the plain PNG.
    Raises ValueError when the sentence is empty.
    """
    if not alt.strip():
        raise ValueError("alt must say in a sentence what the figure shows.")
    file = io.BytesIO()
    plt.gcf().savefig(file, bbox_inches="tight")
    plt.close()
    png = base64.b64encode(file.getvalue()).decode()
    picture = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
    display({"image/png": png, "text/html": picture, "text/plain": alt}, raw=True)
