"""Whoever calls a function of three parameters or more reads in its docstring what they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("biodata", "biotrain", "bioeval", "cli/seqloom_cli")
MANY = 3
"""Parameters, beyond `self`, from which on a docstring explains them."""


@dataclass(frozen=True)
class Function:
    place: str
    module: str
    name: str
    owner: ast.ClassDef | None
    node: ast.FunctionDef

    @property
    def is_explained(self) -> bool:
        """A section of its own, or the name of a function that has it."""
        text = ast.get_docstring(self.node) or ""
        return "Args:" in text or bool(re.search(r"\b(Arguments as|See) `\w+(\.\w+)*`", text))


def functions(project: Path) -> Iterator[Function]:
    """Public functions and methods of public modules with many parameters."""
    for folder in FOLDERS:
        for path in sorted((project / folder).rglob("*.py")):
            place = path.relative_to(project).as_posix()
            if path.name.startswith("_") and path.name != "__init__.py":
                continue
            if path.name.startswith("modeling_"):
                continue  # travels with a model; what its functions take is the say of `transformers`
            module = re.sub(r"^cli/|/__init__$", "", place.removesuffix(".py")).replace("/", ".")
            for node in ast.parse(path.read_text()).body:
                for owner, found in defined(node):
                    if not found.name.startswith("_") and parameters(found) >= MANY:
                        yield Function(f"{place}:{found.lineno}", module, found.name, owner, found)


def defined(node: ast.stmt) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    if isinstance(node, ast.FunctionDef):
        yield None, node
    elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        yield from ((node, inner) for inner in node.body if isinstance(inner, ast.FunctionDef))


def parameters(node: ast.FunctionDef) -> int:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in every)


def is_interface(function: Function) -> bool:
    """Of a `Protocol` or abstract: those that fill it repeat nothing."""
    above = [ast.unparse(base) for base in function.owner.bases] if function.owner else []
    marks = [ast.unparse(mark) for mark in function.node.decorator_list]
    return any("Protocol" in base for base in above) or "abstractmethod" in marks


def is_command(function: Function) -> bool:
    """A command's options are explained by `--help`."""
    return any(".command(" in ast.unparse(mark) for mark in function.node.decorator_list)


def of_autograd(function: Function) -> bool:
    """`forward(ctx, ...)` is called by `apply`; the class says what it takes."""
    return bool(function.node.args.args) and function.node.args.args[0].arg == "ctx"


def in_catalogs(project: Path) -> set[str]:
    """Entries of the `Catalog` tables: the type that a table names in its docstring explains their call."""
    entry = re.compile(r'"((?:biodata|biotrain|bioeval)[\w.]*:\w+)"')
    files = (path for folder in FOLDERS for path in (project / folder).rglob("*.py"))
    return {name for path in files for name in entry.findall(path.read_text())}


def test_parameters_are_explained(project: Path):
    every = list(functions(project))
    stated = {f.name for f in every if f.owner and is_interface(f) and f.is_explained}
    entries = in_catalogs(project)
    bare = [
        f"{f.place} {f.name}"
        for f in every
        if not (f.is_explained or is_command(f) or of_autograd(f))
        and not (f.owner and f.name in stated)
        and f"{f.module}:{f.name}" not in entries
    ]
    assert bare == [], "\n".join(["no Args: section in the docstring of", *bare])
