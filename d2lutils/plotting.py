"""One palette and the few pictures that more than one notebook draws."""

from d2l import mxnet as d2l

plt = d2l.plt
COLORS = {
    "without BN": "#d1495b",
    "with BN": "#00798c",
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
