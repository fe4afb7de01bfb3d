"""``python -m airflow_provider_sei.dbt_sources``: print dbt source definitions, made from the documented metrics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from json import dumps  # whose texts are YAML, too

from airflow_provider_sei.delivery.records import snake_case
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.metrics import UNKNOWN_UNIT, metrics

KEYS = {"period": "The exported period, such as 2024-01 or 2024-Q1.", "team_id": "The team's id in SEI."}
"""Columns that loaded tables have beside those of the files, from the names of their folders."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_sei.dbt_sources",
        description="Print dbt source definitions: a table for each export family, with its documented metrics.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--name", default="sei", help="name of the source")
    parser.add_argument("--schema", default="sei", help="schema of the tables, which are named after the families")
    parser.add_argument("--column-names", choices=("keep", "snake"), default="keep", help="as of the exports")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the definitions, and return the exit code."""
    options = _parser().parse_args(arguments)
    lines = ["sources:", f"  - name: {dumps(options.name)}", f"    schema: {dumps(options.schema)}", "    tables:"]
    for family in FAMILIES.values():
        lines += [f"      - name: {dumps(family.name)}", f"        description: {dumps(family.title)}"]
        if not family.name.isidentifier():
            lines += ["        quoting: {identifier: true}"]
        lines += ["        columns:"]
        for name, description in KEYS.items():
            lines += [f"          - name: {name}", f"            description: {dumps(description)}"]
            lines += ["            data_tests: [not_null]"]
        for metric in metrics(family.name):
            name = snake_case(metric.name) if options.column_names == "snake" else metric.name
            lines += [f"          - name: {dumps(name)}"]
            if metric.unit == UNKNOWN_UNIT:
                lines += [f"            description: {dumps(metric.description)}"]
            else:
                lines += [f"            description: {dumps(f'{metric.description} Unit: {metric.unit}.')}"]
                lines += [f"            config: {{meta: {{unit: {dumps(metric.unit)}}}}}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
