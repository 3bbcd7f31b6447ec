"""Who may import whom, read from the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.reference import REPOSITORY


def files(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules, and of what is taken out of them, that a file imports at any place."""
    package = path.relative_to(REPOSITORY).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def offences(paths: list[Path], *forbidden: str) -> list[str]:
    """Lines "file imports name" of all imports from the forbidden packages."""
    return [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in paths
        for name in imported(path)
        if within(name, *forbidden)
    ]


def test_imports_are_read_at_any_place_and_from_any_level():
    assert "cosy_jax.conversions.convert.convert" in imported(REPOSITORY / "cosy_jax/cli/convert.py")
    assert "conversions.mapping.Rule" in imported(REPOSITORY / "conversions/rules/__init__.py")
    assert "conversions.capture.run.capture" in imported(REPOSITORY / "conversions/capture/command.py")
    assert within("cosy_jax.cli", "cosy_jax.cli") and not within("cosy_jax.clients", "cosy_jax.cli")


def test_command_line_is_imported_by_itself_alone():
    cli, entry = REPOSITORY / "cosy_jax" / "cli", REPOSITORY / "cosy_jax" / "__main__.py"
    library = [path for path in files("cosy_jax") if cli not in path.parents and path != entry]
    assert not offences(library + files("conversions") + files("benchmarks"), "cosy_jax.cli")


def test_package_imports_nothing_that_is_not_installed():
    """`conversions` neither: it is found in a checkout, and installed it is `cosy_jax.conversions`."""
    assert not offences(files("cosy_jax"), "benchmarks", "tests", "conversions")
    assert not offences(files("conversions"), "benchmarks", "tests")


def test_capture_imports_nothing_of_ours():
    capture = [*files("conversions/capture"), REPOSITORY / "conversions" / "capture_reference.py"]
    assert not offences(capture, "cosy_jax", "benchmarks", "tests")
    converters = [line for line in offences(capture, "conversions") if "imports conversions.capture" not in line]
    assert not converters
