"""Where a test is found: beside the module that it is about, or under a subject that is named here."""

from __future__ import annotations

from pathlib import Path

import pytest

import airflow_provider_sei

PACKAGE = Path(airflow_provider_sei.__file__).parent
TESTS = Path(__file__).parent

# Folders that are about something else than a folder of the package.
OTHERS = {
    "cluster": "whole processes of Airflow on a Celery cluster, killed",
    "demo": "the folder demo",
    "docs": "the folder docs",
    "dora_report": "the folder dags_examples/dora_report",
    "matrix": "every supported version of Airflow",
    "mutation": "the tests of the core, tested",
    "packaging": "what is published",
}
# Files that are about several modules at once.
SUBJECTS = {
    "delivery/test_hostile.py": "bodies that are meant to deceive",
    "delivery/test_kill_lab.py": "a download that a user ends, in a real Airflow",
    "delivery/test_kill.py": "a delivery whose process is killed, on each store",
    "delivery/test_tries.py": "a delivery that is begun again, from the hook down",
    "hooks/test_connections.py": "the hook and the connection's fields",
    "hooks/test_wire.py": "the hook's calls to the byte",
    "local_server/test_fault_answers.py": "what each fault makes of the answers",
    "local_server/test_teams.py": "the team service",
    "operators/test_arguments.py": "the arguments of all operators",
    "operators/test_export.py": "the operator that does all",
    "operators/test_layout.py": "the folders and names of files",
    "operators/test_mapping.py": "mapped operators",
    "operators/test_steps.py": "the operators for one step each, and the reports",
    "operators/test_turn.py": "creating in turns",
    "protocol/test_documented_examples.py": "every example of the vendor's documents",
    "protocol/test_vendor_contract.py": "the vendor's OpenAPI document",
    "test_backfill.py": "two years by the backfill example",
    "test_backfill_lab.py": "Airflow's own backfill",
    "test_dags_examples.py": "the folder dags_examples",
    "test_layers.py": "imports",
    "test_mirror.py": "the tests",
    "test_provider_info.py": "get_provider_info and Airflow's schemas",
    "test_public_names.py": "names that others build on",
    "test_retry_policy_lab.py": "the retry policy in a real Airflow",
    "test_suppressions.py": "checks that are switched off",
    "transports/test_contract.py": "both transports, one contract",
    "transports/test_stream.py": "streamed bodies",
    "transports/test_tls_and_proxies.py": "both transports, certificates and proxies",
    "triggers/test_payloads.py": "arguments of triggers in the database, of this release and others",
    "triggers/test_watcher_lab.py": "the watcher in a real triggerer",
}
FILES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))


def module(test: Path) -> Path:
    """Return the module that a test file is named after."""
    return PACKAGE / test.with_name(test.name.removeprefix("test_"))


@pytest.mark.parametrize("test", [path for path in FILES if path.parts[0] not in OTHERS], ids=str)
def test_a_test_file_is_named_after_its_module_or_a_known_subject(test: Path) -> None:
    """And never after both: a module of that name would be tested elsewhere."""
    assert module(test).exists() is (test.as_posix() not in SUBJECTS)


def test_no_exception_is_left_over() -> None:
    """Each folder and subject that is named here is there."""
    assert {name for name in OTHERS if not (TESTS / name).is_dir() or (PACKAGE / name).exists()} == set()
    assert {name for name in SUBJECTS if not (TESTS / name).exists()} == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "protocol").glob("[a-z]*.py")), ids=lambda path: path.name)
def test_every_module_of_the_core_has_tests_of_its_own(path: Path) -> None:
    """They are what mutation testing runs against the module."""
    assert (TESTS / "protocol" / f"test_{path.name}").exists()


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_every_folder_of_the_package_has_a_folder_of_tests(folder: str) -> None:
    """Under the same name."""
    assert list((TESTS / folder).glob("test_*.py"))
