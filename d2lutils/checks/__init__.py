"""The checks that the exercises call: `from d2lutils import checks as check`.

`check.layer_norm(answer)` prints the verdict and what it tested; `hint(2)` says more after a wrong
answer; `summary("01")` lists the exercises that were right at least once since Python started. No
answer, however wrong, makes a check raise an error.
"""

from . import (
    lesson01,
    lesson02,
    lesson03,
    lesson04,
    lesson05,
    lesson06,
    lesson07,
    lesson08,
    lesson09,
    lesson10,
    lesson11,
)
from .engine import Exercise, hint

LESSONS = {
    "01": lesson01,
    "02": lesson02,
    "03": lesson03,
    "04": lesson04,
    "05": lesson05,
    "06": lesson06,
    "07": lesson07,
    "08": lesson08,
    "09": lesson09,
    "10": lesson10,
    "11": lesson11,
}


def exercises(lesson):
    """The exercises of a lesson, such as "01", by name, in order."""
    found = vars(LESSONS[lesson]).items()
    return {name: value for name, value in found if isinstance(value, Exercise)}


for _lesson in LESSONS:  # so that check.layer_norm works, whatever its lesson
    globals().update(exercises(_lesson))


def summary(lesson=None):
    """Print which exercises of a lesson, such as "01", are done: those that were right once."""
    if lesson not in LESSONS:
        print(f"There is no lesson {lesson!r}: choose one of {', '.join(LESSONS)}, in quotes.")
        return
    found = exercises(lesson).values()
    done = sum(exercise.done for exercise in found)
    print(f"Exercises {lesson}: {done} of {len(found)} done")
    width = max(42, *(len(exercise.title) + 1 for exercise in found))
    place = max(5, *(len(exercise.number) + 1 for exercise in found))
    for exercise in found:
        mark, state = ("x", "right") if exercise.done else (" ", exercise.state)
        print(f"  [{mark}] {exercise.number:<{place}}{exercise.title:<{width}}{state}")
