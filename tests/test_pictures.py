"""The README's pictures are the ones in the notebooks."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_each_notebook_gives_the_readme_its_picture():
    pictures = dict(runpy.run_path(str(ROOT / "tools/pictures.py"))["pictures"]())
    names = {f"{path.stem}.png" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert pictures.keys() == names, "one cell of each notebook has the tag readme, and a picture"
    for name, picture in pictures.items():
        assert (ROOT / "notebooks/figures" / name).read_bytes() == picture, (
            f"run make notebooks: {name}"
        )
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert f"notebooks/figures/{name}" in readme, "the README's map shows each notebook"
