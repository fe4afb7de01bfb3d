"""The versions of Airflow and Python that this package is tested with.

A cell is an environment with one Airflow version and everything else as published on its release day, pinned in
``constraints/<cell>.txt``. The exception is the common.compat provider, whose newest release supports all versions. The
cell ``floors`` has the lowest accepted version of each direct dependency instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
FLOORS = tuple(line.replace(">=", "==") for line in _PROJECT["dependencies"])
"""The lowest version of each direct dependency."""

TOOLS = ("cryptography", "hypothesis", "jsonschema", "pytest", "pytest-asyncio", "pyyaml", "requests-mock")
"""Requirements of the tests."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One environment."""

    airflow: str
    """Exact version."""
    python: str
    """Minor version."""
    published: str
    """Release day on PyPI; later releases of other packages are not used."""
    extras: tuple[str, ...] = ()
    """Further requirements."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings that avoid this version's warnings about its defaults."""
    warnings: tuple[str, ...] = ()
    """Warnings of this version about itself, as for ``python -W``; all others are errors."""
    prefix: str = "airflow"

    @property
    def name(self) -> str:
        """Name of the cell, its constraints file and its folder."""
        return f"{self.prefix}-{'.'.join(self.airflow.split('.')[:2])}-py{self.python}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """Everything to install, apart from the package itself."""
        return (f"apache-airflow=={self.airflow}", *self.extras, *TOOLS)


# Of these versions' ObjectStoragePath.
_PATHS = "ignore:in a future version of UPath:PendingDeprecationWarning"
# Of the Flask extensions of that time, when Airflow loads all providers.
_FLASK = "ignore:'_app_ctx_stack' is deprecated:DeprecationWarning"

# pip installs a pre-release only if it is required by name.
_PRE_RELEASE = ("apache-airflow-core==3.4.0b2", "apache-airflow-task-sdk==1.4.0b2")

CELLS = (
    Cell(
        prefix="floors",
        airflow="2.11.0",
        python="3.11",
        published="2025-05-20",
        extras=FLOORS,
        environment={"AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True"},
        warnings=(_PATHS,),
    ),
    Cell(
        airflow="2.11.2",
        python="3.11",
        published="2026-03-14",
        environment={"AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True"},
        warnings=(_PATHS,),
    ),
    Cell(
        airflow="3.0.6",
        python="3.11",
        published="2025-08-29",
        extras=("apache-airflow-providers-fab",),  # without it, this version shows no provider's connection form
        warnings=(_PATHS, _FLASK),
    ),
    Cell(airflow="3.1.8", python="3.12", published="2026-03-11", warnings=(_PATHS,)),
    Cell(airflow="3.2.2", python="3.12", published="2026-05-29"),
    Cell(airflow="3.3.2", python="3.13", published="2026-09-17"),
    Cell(airflow="3.4.0b2", python="3.13", published="2026-10-20", extras=_PRE_RELEASE),
    Cell(airflow="3.4.0b2", python="3.14", published="2026-10-20", extras=_PRE_RELEASE),
)
