"""Fixtures for every version of Airflow: its tables and its version."""

from __future__ import annotations

import warnings

import airflow
import pytest
from packaging.version import Version


@pytest.fixture(scope="session", autouse=True)
def _models() -> None:
    """Load all tables: before 3.0, every connection is an object of the database."""
    from airflow.models import import_all_models

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_all_models()


@pytest.fixture(scope="session")
def airflow_version() -> Version:
    """The installed version; a pre-release counts as its final version."""
    return Version(Version(airflow.__version__).base_version)
