"""How Sphinx builds this documentation. ``make docs`` does it; nothing is fetched from anywhere."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

# Airflow reads these when it is first imported, and would make a home of its own otherwise.
_HOME = tempfile.mkdtemp(prefix="sei-docs-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {"AIRFLOW_HOME": _HOME, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
logging.getLogger("airflow").setLevel(logging.WARNING)

import tables  # noqa: E402 - needs the environment above

import airflow_provider_sei  # noqa: E402 - likewise

tables.write(DOCS / "_build" / "tables")

project = "airflow-provider-sei"
author = "the airflow-provider-sei contributors"
copyright = "the airflow-provider-sei contributors, Apache License 2.0"  # noqa: A001 - Sphinx's name
version = release = airflow_provider_sei.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

nitpicky = True  # with -W, a reference that leads nowhere breaks the build
nitpick_ignore_regex = [
    # The halves of our errors that know nothing of Airflow; their faces are documented, with the same names.
    ("py:class", r"airflow_provider_sei\.protocol\.errors\..*"),
    # What else the local server is made of.
    ("py:class", r"airflow_provider_sei\.local_server\.(bodies|organisation)\..*"),
    # What others document. Their object lists would have to be fetched.
    ("py:.*", r"(airflow|requests|aiohttp|pytest|collections|datetime|pathlib|contextlib|enum|types)\..*"),
    ("py:.*", r"(str|int|float|bool|bytes|dict|list|tuple|set|frozenset|object|type|None|True|False|Any|optional)"),
    ("py:.*", r"(ValueError|TypeError|RuntimeError|LookupError|ImportError|FileExistsError|OSError|Exception)"),
    ("py:.*", r"(Context|DAG|Asset|AssetAlias|BaseOperator|TaskDeferred|AirflowNotFoundException|BaseException)"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "__init__, __new__"}
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"airflow-provider-sei {release}"
html_static_path = ["_static"]
html_css_files = ["sei.css"]
html_show_sphinx = False
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"


def _keep_colons(_app: Any, what: str, _name: str, _item: Any, _options: Any, lines: list[str]) -> None:
    # Napoleon takes what stands before a colon in an attribute's first line for its type.
    if what in ("attribute", "property", "data"):
        lines.insert(0, "\\ ")  # renders to nothing


def setup(app: Any) -> None:
    """Hook into autodoc, before napoleon does."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
