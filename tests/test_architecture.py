"""The house: who may import whom, read from the source (AST), and what may not grow."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = {
    "zoo.appending",
    "zoo.cores",
    "zoo.drawing",
    "zoo.errors",
    "zoo.paths",
    "zoo.plain",
    "zoo.quiet",
    "zoo.refusals",
    "zoo.replacing",
    "zoo.storage",
    "zoo.startup",
    "zoo.tables",
    "zoo.version",
}

# package -> the packages of ours that it may import, besides the ground and itself
ALLOWED = {
    "zoo.data": set(),
    "zoo.models": {"zoo.weights"},
    "zoo.weights": set(),
    "zoo.reference": None,  # NumPy alone, not even the ground
    "zoo.features": {"zoo.data", "zoo.models"},
    "zoo.training": {"zoo.data", "zoo.models", "zoo.features"},
    "zoo.evaluation": {"zoo.data", "zoo.models", "zoo.training"},
    "zoo.inspection": {"zoo.data", "zoo.models", "zoo.training"},
    "zoo.reporting": {"zoo.data", "zoo.training", "zoo.evaluation", "zoo.inspection"},
    "zoo.exporting": {"zoo.data", "zoo.models", "zoo.training", "zoo.evaluation"},
    "tuning": {
        "zoo",
        "zoo.data",
        "zoo.features",
        "zoo.models",
        "zoo.weights",
        "zoo.training",
        "zoo.evaluation",
        "zoo.reporting",
    },
}
SOURCES = sorted(p for folder in ("zoo", "tuning", "scripts", "benchmarks") for p in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of nesting, type-checking blocks included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package_of(module: str) -> str | None:
    """The package of ours that a module belongs to: "zoo.data", "zoo.storage", "tuning"; `None` for others' modules."""
    parts = module.split(".")
    if parts[0] == "zoo":
        return ".".join(parts[:2])
    return "tuning" if parts[0] == "tuning" else None


def home(path: Path) -> str:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return package_of(module) or "scripts"


def test_every_package_has_a_rule():
    packages = {f"zoo.{p.name}" for p in (ROOT / "zoo").iterdir() if (p / "__init__.py").exists()} | {"tuning"}
    assert packages == set(ALLOWED)


@pytest.mark.parametrize("path", [p for p in SOURCES if home(p) in ALLOWED], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_house(path):
    package = home(path)
    modules = imported(path)
    assert not {m for m in modules if m.split(".")[0] in ("scripts", "studies", "command")}
    if package != "tuning":
        assert not {m for m in modules if m.split(".")[0] in ("tuning", "keras_tuner", "ray")}
    names_of_ours = {
        p
        for m in modules
        if ((p := package_of(m)) is not None and (ROOT / p.replace(".", "/")).exists()) or p in GROUND
    }
    rule = ALLOWED[package]
    if rule is None:
        assert {m.split(".")[0] for m in modules} - set(sys.stdlib_module_names) <= {"numpy", "zoo"}
        assert names_of_ours <= {package}
    else:
        assert names_of_ours <= rule | GROUND | {package}


def test_no_public_function_bears_the_name_of_a_module_beside_it():
    for folder in {p.parent for p in SOURCES if home(p) != "scripts"}:
        modules = {p.stem for p in folder.glob("*.py")} | {p.name for p in folder.iterdir() if p.is_dir()}
        init = folder / "__init__.py"
        if not init.exists():
            continue
        tree = ast.parse(init.read_text())
        public = {
            e.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Assign)
            for t in n.targets
            if isinstance(t, ast.Name) and t.id == "__all__"
            for e in n.value.elts
        }
        assert not public & modules, folder


LONG = {  # what is over 300 lines, or over 60 without its docstring, and why
    "tests/tuning/test_tuning_trial.py": "its tests share traced programs",
    "tests/tuning/vectorized/test_tuning_equality.py": "its tests share traced programs",
    "tuning/searching.py search": "22 keyword-only arguments, which are the public face of a search",
}


def test_files_are_rooms_and_functions_fit_a_screen():
    too_long = set()
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").rglob("*.py")]:
        text, name = path.read_text(), path.relative_to(ROOT).as_posix()
        if text.count("\n") > 300:
            too_long.add(name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                docstring = (ast.get_docstring(node, clean=False) or "").count("\n")  # one that lists options is long
                if node.end_lineno - node.lineno - docstring > 60:
                    too_long.add(f"{name} {node.name}")
    assert too_long == set(LONG)
