"""Find the reason codes in the source, for the test that keeps docs/reason-codes.md complete.

    python scripts/reason_codes.py           print every code found, with one place where it stands

A code is the value of a class attribute `code`, of an argument for a parameter (or a field of a dataclass) named `code` or
`reason` (by keyword or place), of an entry in a table from conditions to codes (a constant whose name has CODES in it), or what
a function named `code_of...` returns. Nothing is run.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src/opencloudmesh"
PAGE = ROOT / "docs/reason-codes.md"
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ROW = re.compile(r"^\| `([a-z0-9<>-]+)` \|", re.MULTILINE)
_NAMES = frozenset({"code", "reason"})


class Found(NamedTuple):
    """A code in the source; `{}` stands for what is put in at run time."""

    code: str
    place: str


def listed(page: Path = PAGE) -> list[str]:
    """Read the codes of the page, in its order; `<...>` stands for what varies."""
    return _ROW.findall(page.read_text("utf-8"))


def matches(code: str, row: str) -> bool:
    """Tell whether a code found in the source, which may hold `{}`, is one that this row of the page describes."""
    if "<" in row:
        return code == re.sub(r"<[^>]*>", "{}", row)
    return re.fullmatch(re.escape(code).replace(r"\{\}", "[a-z0-9-]+"), row) is not None


def sources(source: Path = SOURCE) -> dict[Path, ast.Module]:
    """Parse the whole package."""
    return {path: ast.parse(path.read_text("utf-8"), str(path)) for path in sorted(source.rglob("*.py"))}


def literals(modules: Mapping[Path, ast.Module]) -> set[str]:
    """Return every string of the source, whatever it is for."""
    found: set[str] = set()
    for module in modules.values():
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def codes(modules: Mapping[Path, ast.Module], root: Path = ROOT) -> Iterator[Found]:
    """Find the reason codes."""
    places = _places(modules)
    for path, module in modules.items():
        constants = _imported(module, modules) | _constants(module)
        for node in ast.walk(module):
            for value in _values(node, places):
                for text in _texts(value, constants):
                    if _CODE.fullmatch(text.replace("{}", "x")) and text != "{}":
                        yield Found(text, f"{path.relative_to(root)}:{value.lineno}")


def _places(modules: Mapping[Path, ast.Module]) -> dict[str, set[int]]:
    """Where functions and classes of the package take a code by place: name -> positions."""
    places: dict[str, set[int]] = {}
    for module in modules.values():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, set()).update(_fields(node))
                for part in node.body:
                    if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                        places.setdefault(node.name, set()).update(_positions(part))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                places.setdefault(node.name, set()).update(_positions(node))
    return places


def _positions(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    return {index for index, name in enumerate(names) if name in _NAMES}


def _fields(node: ast.ClassDef) -> set[int]:
    """Which fields of a dataclass are codes."""
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return set()
    fields = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
    return {index for index, field in enumerate(fields) if isinstance(field, ast.Name) and field.id in _NAMES}


def _imported(module: ast.Module, modules: Mapping[Path, ast.Module]) -> dict[str, str]:
    """The string constants that a module takes from others of the package."""
    found: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(SOURCE.name):
            path = SOURCE.parent.joinpath(*(node.module or "").split("."))
            there = _constants(modules.get(path.with_suffix(".py"), ast.Module([], [])))
            found |= {name.asname or name.name: there[name.name] for name in node.names if name.name in there}
    return found


def _constants(module: ast.Module) -> dict[str, str]:
    """The string constants of a module: a code may be named before it is used."""
    found = {}
    for node in module.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found.update({target.id: value.value for target in targets if isinstance(target, ast.Name)})
    return found


def _values(node: ast.AST, places: Mapping[str, set[int]]) -> Iterator[ast.expr]:
    """The expressions in `node` itself that give a code."""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            targets = part.targets if isinstance(part, ast.Assign) else [part.target] if isinstance(part, ast.AnnAssign) else []
            value = getattr(part, "value", None)
            if value is not None and any(isinstance(target, ast.Name) and target.id in _NAMES for target in targets):
                yield value
    elif isinstance(node, ast.Call):
        yield from (keyword.value for keyword in node.keywords if keyword.arg in _NAMES)
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        yield from (argument for index, argument in enumerate(node.args) if index in places.get(name, ()))
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if isinstance(node.value, ast.Dict) and any(isinstance(t, ast.Name) and "CODES" in t.id for t in targets):
            yield from node.value.values
    elif isinstance(node, ast.FunctionDef) and "code_of" in node.name:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Return) and inner.value is not None:
                yield inner.value


def _texts(value: ast.AST, constants: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.Name) and value.id in constants:
        yield constants[value.id]
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body, constants)
        yield from _texts(value.orelse, constants)
    elif isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _texts(part, constants)
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in value.values)
    elif isinstance(value, ast.Call) and value.args:
        # word("share-expired"), TABLE.get(number, "tls-untrusted")
        yield from _texts(value.args[-1], constants)


if __name__ == "__main__":
    for code, place in sorted({found.code: found.place for found in codes(sources())}.items()):
        print(f"{code:28} {place}")
