"""What Airflow's own processes have done before they come to a task, on every version."""

from __future__ import annotations

import warnings

import airflow
import pytest
from packaging.version import Version

AIRFLOW = Version(Version(airflow.__version__).base_version)


@pytest.fixture(scope="session", autouse=True)
def _models() -> None:
    """Load all tables: before 3.0, a connection is an object of the database, wherever it comes from."""
    from airflow.models import import_all_models

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_all_models()


@pytest.fixture(scope="session")
def airflow_version() -> Version:
    """The running version, a pre-release being the version that it leads to."""
    return AIRFLOW
