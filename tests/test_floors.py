"""The house stands: imports go down its floors only, and every file and function keeps its size."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"lorentz", "matrices", "sphere", "healpix", "batch", "counting", "balance"},
    {"nn"},
    {"flows", "metrics", "calibration", "coverage", "resolution", "runs", "checkpoint", "parallel"},
    {"plot", "train", "io"},
    {
        "jets",
        "tracking",
        "integration",
        "neutrino",
        "showers",
        "anomaly",
        "events",
        "pid",
        "design",
    },
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
PROBLEMS = FLOORS[-1]
SOURCES = sorted((ROOT / "hepjax").rglob("*.py"))
SCRIPTS = sorted((ROOT / "experiments").rglob("*.py"))


def part(path):
    """The first name below hepjax: the module, or the folder."""
    relative = path.relative_to(ROOT / "hepjax").with_suffix("")
    return relative.parts[0]


def imported(path):
    """The parts of hepjax that a file imports, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "hepjax":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hepjax."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {name[1] for name in names if name[0] == "hepjax" and len(name) > 1}
    return found


@pytest.mark.smoke
@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    here = part(path)
    if here == "__init__":
        assert not imported(path)
        return
    assert here in FLOOR, f"{path} stands on no floor"
    for name in imported(path):
        same_folder = name == here
        assert same_folder or name in FLOOR, f"{path} imports hepjax.{name}, which has no floor"
        if here in PROBLEMS:
            assert same_folder or name not in PROBLEMS, f"{path} imports its neighbour {name}"
        assert FLOOR[name] <= FLOOR[here], f"{path} imports hepjax.{name} from a floor above"


@pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path):
    text = path.read_text()
    limit = 400 if path in SOURCES else 150
    assert text.count("\n") <= limit, f"{path} has more than {limit} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            body = lines - docstring_lines(node)
            assert body <= 60, f"{path}: {node.name} has {body} lines below its docstring"


def docstring_lines(node):
    text = ast.get_docstring(node, clean=False)
    return 0 if text is None else text.count("\n") + 1


def public(node):
    return [
        d
        for d in node.body
        if isinstance(d, ast.FunctionDef | ast.ClassDef) and not d.name.startswith("_")
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_public_name_is_documented_and_typed(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in public(tree):
        assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [a.arg for a in arguments if a.annotation is None]
            assert not untyped, f"{path}: {node.name} has untyped {untyped}"
            assert node.returns is not None, f"{path}: {node.name} has no return type"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_shows_an_example(path):
    if path.name != "__init__.py":
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert ">>> " in text, f"{path}: the module docstring holds no example"


def test_the_tests_mirror_the_package():
    tests = "\n".join(p.name for p in (ROOT / "tests").rglob("test_*.py"))
    for path in SOURCES:
        if path.name != "__init__.py":
            assert f"test_{path.stem}.py" in tests, f"{path} has no test file"
