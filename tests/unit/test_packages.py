"""The shape of the code base: what packages offer, how large modules are, which way imports go, what a start loads."""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import hausgeist

ROOT = Path(__file__).parents[2]
SOURCE = Path(hausgeist.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
PACKAGES = [path for path in MODULES if path.name == "__init__.py"]

MOST_LINES = 600
MOST_LINES_OF_A_FUNCTION = 80

HEAVY = {
    "PIL", "Stemmer", "alembic", "anthropic", "argon2", "cryptography", "gguf", "kreuzberg", "lxml", "numpy", "onnxruntime", "openai",
    "prompt_toolkit", "pypdfium2", "python_calamine", "ray", "rich", "tantivy", "tokenizers", "torch", "trafilatura", "typer", "usearch", "vllm",
    "xllamacpp",
}  # fmt: skip
"""What a server that has not been asked anything has no use for."""


def dotted(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), path)


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            return list(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("path", PACKAGES, ids=dotted)
def test_a_package_says_what_it_offers(path: Path) -> None:
    tree = parsed(path)
    assert ast.get_docstring(tree), f"{path} has no docstring that says what the package offers"
    names = exported(tree)
    assert names is not None, f"{path} has no __all__"
    assert len(set(names)) == len(names)
    module = importlib.import_module(dotted(path))
    for name in names:
        assert hasattr(module, name), f"{dotted(path)}.__all__ names {name}, which is not there"
    loose = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in names and str(getattr(value, "__module__", "")).startswith(dotted(path))
    }
    assert not loose, f"{dotted(path)} has {sorted(loose)} without saying so in __all__"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_is_described_and_of_a_size_to_read(path: Path) -> None:
    tree = parsed(path)
    assert ast.get_docstring(tree), f"{path} has no docstring that says what the module owns"
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path} has {lines} lines; split it"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MOST_LINES_OF_A_FUNCTION, f"{path}:{node.lineno} {node.name} has {length} lines; split it"


@pytest.mark.parametrize("path", [path for path in MODULES if path not in PACKAGES], ids=dotted)
def test_a_module_has_what_it_exports(path: Path) -> None:
    """Told from the text: some modules are for worker processes only, and importing them would change this one."""
    tree = parsed(path)
    names = exported(tree)
    if names is None:
        return
    there = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            there.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            there.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            there |= {alias.asname or alias.name for alias in node.names}
    missing = set(names) - there
    assert not missing, f"{path}: __all__ names {sorted(missing)}, which are not there"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_module_is_a_drawer(path: Path) -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}
    assert not drawers & set(dotted(path).split("."))


def test_imports_go_one_way() -> None:
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    assert tool, "import-linter is not installed: make test does it"
    ended = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]


def loaded_by(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    return set(json.loads(ended.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement", ["import hausgeist.app", "import hausgeist.gateway.openai, hausgeist.gateway.anthropic, hausgeist.gateway.ollama"]
)
def test_a_start_loads_nothing_heavy(statement: str) -> None:
    assert not loaded_by(statement) & HEAVY


def test_asking_for_the_version_loads_next_to_nothing() -> None:
    statement = "sys.argv = ['hausgeist', '--version']; from hausgeist.__main__ import main; main()"
    assert not loaded_by(statement) & (HEAVY | {"pydantic", "sqlalchemy", "starlette", "asyncio"})
