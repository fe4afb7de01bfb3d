"""Sphinx's configuration. ``make docs`` builds the documentation, without a network."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

# Airflow reads these when it is first imported, and would create a home otherwise.
_HOME = tempfile.mkdtemp(prefix="sei-docs-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {"AIRFLOW_HOME": _HOME, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
logging.getLogger("airflow").setLevel(logging.WARNING)

import tables  # noqa: E402 - needs the environment above

import airflow_provider_sei  # noqa: E402 - likewise

tables.write(DOCS / "_build" / "tables")

project = "airflow-provider-sei"
about = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
author = about["authors"][0]["name"]
copyright = f"{author}, Apache License 2.0"  # noqa: A001 - Sphinx's name
version = release = airflow_provider_sei.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

nitpicky = True  # with -W, an unresolved reference fails the build
nitpick_ignore_regex = [
    # Internal classes of the local server.
    ("py:class", r"airflow_provider_sei\.local_server\.(bodies|organisation)\..*"),
    # Documented elsewhere; their object lists would have to be downloaded.
    ("py:.*", r"(airflow|requests|aiohttp|pytest|collections|datetime|pathlib|contextlib|enum|types)\..*"),
    ("py:.*", r"(str|int|float|bool|bytes|dict|list|tuple|set|frozenset|object|type|None|True|False|Any|optional)"),
    ("py:.*", r"(ValueError|TypeError|RuntimeError|LookupError|ImportError|FileExistsError|OSError|Exception)"),
    ("py:.*", r"(Context|DAG|Asset|AssetAlias|BaseOperator|TaskDeferred|AirflowNotFoundException|BaseException)"),
    ("py:class", "timedelta"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "__init__, __new__"}

html_theme = "furo"
html_title = f"airflow-provider-sei {release}"
html_static_path = ["_static"]
html_css_files = ["sei.css"]
html_show_sphinx = False
if source := about["urls"].get("Source"):  # then each page links to its source, to view and to edit it
    html_theme_options = {"source_repository": source, "source_branch": "main", "source_directory": "docs/"}
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"


def list_texts(app: Any, error: Exception | None) -> None:
    """Write ``llms.txt``: the title of each page, and where its plain text is, which ``make docs`` builds as well."""
    if error is None and app.builder.name == "html":
        titles = {name: app.env.titles[name].astext() for name in app.env.collect_relations()}
        lines = [f"# {project} {release}", "", f"> {about['description']}", ""]
        lines += [f"- [{title}](text/{name}.txt)" for name, title in titles.items()]
        Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n")


def setup(app: Any) -> None:
    """Register what is not an extension of its own."""
    app.connect("build-finished", list_texts)
    app.connect("autodoc-process-docstring", without_arguments)


def without_arguments(_app: Any, _what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Leave out of a class's text what its table of arguments has."""
    if name.rpartition(".")[2] in tables.PIECES:
        first = next((number for number, line in enumerate(lines) if line.startswith(":param")), len(lines))
        last = next((number for number, line in enumerate(lines) if line.startswith(":raises")), len(lines))
        del lines[first:last]
