"""Habits that every file of the project keeps."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.files import ROOMS, ROOT, imports, project_files, python_files, text_files

LONGEST = 400
"""Files aim at 300 lines; past this one the file holds two nouns."""
WORD_LISTS = Path("model_configs/press_guide")
"""What the demo model's sentences are made of, one line a word or two."""
LARGEST_NBYTES = 40_000_000
LONG_BY_NATURE = {"package-lock.json", "LICENSE", "constraints.txt"}
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:work|root|home/[a-z]+|Users/[A-Za-z]+)/[\w.]+")
RUNS_TEXT = {"eval", "exec"}


def marks_a_package(path: Path) -> bool:
    """An empty `__init__.py` is not a module but a sign."""
    return path.name == "__init__.py" and (ROOT / path).stat().st_size == 0


@pytest.mark.parametrize("path", [p for p in python_files() if not marks_a_package(p)], ids=str)
def test_every_python_file_says_what_it_is(path: Path) -> None:
    source = (ROOT / path).read_text()
    assert ast.get_docstring(ast.parse(source)), f"{path} has no module docstring"


@pytest.mark.parametrize("room", (*ROOMS, "tests", "modelpress.py", "doctor.py"))
def test_nothing_runs_text_or_unpickles(room: str) -> None:
    problems = []
    for path in (p for p in python_files() if p.parts[0] == room):
        source = (ROOT / path).read_text()
        problems += [f"{path}: imports {i.module}" for i in imports(source) if i.top == "pickle"]
        problems += [f"{path}:{line}: calls {name}" for name, line in calls(source)]
    assert not problems, "\n".join(problems)


def calls(source: str) -> list[tuple[str, int]]:
    """Plain calls of `eval` and `exec` in `source`."""
    return [
        (node.func.id, node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in RUNS_TEXT
    ]


def test_a_call_of_eval_is_seen() -> None:
    assert calls("x = 1\ny = eval('x')") == [("eval", 2)]


def test_no_file_is_longer_than_one_noun_needs() -> None:
    long = [
        f"{path}: {lines} lines"
        for path, text in text_files()
        if path.suffix in {".py", ".ts"}
        and path.parent != WORD_LISTS
        and (lines := text.count("\n")) > LONGEST
    ]
    assert not long, "\n".join(long)


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    problems = [
        f"{path}: {match.group()}"
        for path, text in text_files()
        if path.name not in LONG_BY_NATURE
        for match in MACHINE_PATH.finditer(text)
    ]
    assert not problems, "\n".join(problems)


def test_the_search_for_machine_paths_finds_one() -> None:
    assert MACHINE_PATH.search("see /" + "home/somebody/notes.txt")


def test_no_file_is_a_surprise_to_clone() -> None:
    large = {str(p): (ROOT / p).stat().st_size for p in project_files()}
    assert not {name: size for name, size in large.items() if size > LARGEST_NBYTES}


def test_no_module_is_named_after_nothing() -> None:
    nameless = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert not [path for path in python_files() if path.name in nameless]
