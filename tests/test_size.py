"""The code that the notebooks share stays small, so that a reader can know all of it."""

import ast
import io
import tokenize
from pathlib import Path

MODULES = sorted((Path(__file__).parent.parent / "d2lutils").glob("*.py"))
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_of_code(source):
    """How many lines are code: no blank line, no comment, no docstring."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {token.start[0] for token in tokens if token.type not in LAYOUT}
    for node in ast.walk(ast.parse(source)):
        kinds = ast.Module | ast.FunctionDef | ast.ClassDef
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            code -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(code)


def test_lines_of_code_are_counted():
    source = '"""Two\n\nlines."""\n\nx = 1  # one\n\n# none\ndef f(a,\n      b):\n    "None."\n    return a\n'
    assert lines_of_code(source) == 4


SEVERAL_PROCESSES = {"launch.py", "guard.py", "workers.py", "checkpoint.py"}


def test_the_code_that_notebooks_share_stays_small():
    """Without the experiments and the checks of the exercises, which have folders of their own.

    What trains on several machines, and goes on after a crash, is read for notebook 11 only.
    """
    count = {path.name: lines_of_code(path.read_text(encoding="utf-8")) for path in MODULES}
    apart = {name: count.pop(name) for name in SEVERAL_PROCESSES}
    assert sum(count.values()) < 1_220, count
    assert sum(apart.values()) < 600, apart
