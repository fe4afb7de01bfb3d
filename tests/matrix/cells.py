"""The versions of Airflow and Python that this package is tested with.

A cell is an environment of one Airflow version, with everything else as it was published when that version came out,
as ``constraints/<cell>.txt`` says. The exception is the shim that makes one code base of it, whose newest release
supports all of these versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CELLS", "TOOLS", "Cell"]

TOOLS = ("cryptography", "hypothesis", "jsonschema", "pytest", "pytest-asyncio", "pyyaml", "requests-mock")
"""What the tests need beside the package."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One environment."""

    airflow: str
    """Exact version."""
    python: str
    """Minor version."""
    published: str
    """The day on which the version came out on PyPI; what other packages released later is left out."""
    extras: tuple[str, ...] = ()
    """What else is installed, as requirements."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings that silence this version's own complaints about its defaults."""
    warnings: tuple[str, ...] = ()
    """Warnings that this version raises about itself, in the form of ``python -W``; all others are errors."""
    informational: bool = False
    """Whether the run succeeds even if this cell fails: a pre-release may be broken."""

    @property
    def name(self) -> str:
        """Name of the cell, of its constraints file and of its folder."""
        return f"airflow-{'.'.join(self.airflow.split('.')[:2])}-py{self.python}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """What is to be installed, beside the package itself."""
        return (f"apache-airflow=={self.airflow}", *self.extras, *TOOLS)


# Raised by these versions' own ObjectStoragePath about itself.
_PATHS = "ignore:in a future version of UPath:PendingDeprecationWarning"
# Raised by the Flask extensions of that time, whenever Airflow loads all providers.
_FLASK = "ignore:'_app_ctx_stack' is deprecated:DeprecationWarning"

CELLS = (
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
    Cell(
        airflow="3.4.0b2",
        python="3.13",
        published="2026-10-20",
        # A pre-release is only taken where it is asked for by name.
        extras=("apache-airflow-core==3.4.0b2", "apache-airflow-task-sdk==1.4.0b2"),
        informational=True,
    ),
)
