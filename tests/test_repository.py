"""What holds for the repository as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import grimp
import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "sdk").rglob("*.py"), *(ROOT / "mock_server").rglob("*.py")])


def committed() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listing.split("\0") if name]


def test_no_module_takes_part_in_an_import_cycle():
    graph = grimp.build_graph("lmaas", "lmaas_server")
    arrows = nx.DiGraph((one, other) for one in graph.modules for other in graph.find_modules_that_directly_import(one))
    assert [sorted(knot) for knot in nx.strongly_connected_components(arrows) if len(knot) > 1] == []


def test_no_committed_file_names_a_package_registry():
    hosts = re.compile(r"(pypi|pythonhosted|npmjs|deb\.debian)\.(org|com)".replace("\\.", "[.]"))
    if not committed():
        pytest.skip("not a git checkout")
    named = [path.name for path in committed() if path.exists() and hosts.search(path.read_text(errors="ignore"))]
    assert named == []


@pytest.mark.parametrize("library", ["httpx", "aiohttp"])
def test_one_file_of_the_client_imports_an_http_library(library):
    pattern = re.compile(rf"^\s*(import|from) {library}\b", re.MULTILINE)
    importing = [path.name for path in SOURCES if "sdk" in path.parts and pattern.search(path.read_text())]
    assert importing == [f"_{library}.py"]


def test_every_module_says_what_it_is_for():
    silent = [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_nothing_is_unpickled():
    loads = re.compile(r"\bpickle\.load|torch\.load\(|allow_pickle=True|joblib\.load")
    assert [path.name for path in SOURCES if loads.search(path.read_text())] == []
