"""Copy the picture of each notebook's cell tagged "readme" to notebooks/figures/, for the README."""

import base64
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def pictures():
    """Name and bytes of each picture."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if "readme" in cell.metadata.get("tags", []):
                images = [
                    o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})
                ]
                if images:  # none where it was not executed
                    yield f"{path.stem}.png", base64.b64decode(images[0])


if __name__ == "__main__":
    for name, picture in pictures():
        (NOTEBOOKS / "figures" / name).write_bytes(picture)
