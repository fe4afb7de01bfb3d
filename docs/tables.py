"""Generate the documentation's tables from the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from airflow_provider_sei.get_provider_info import get_provider_info
from airflow_provider_sei.local_server.faults import EFFECTS, OPERATIONS
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.operators import sei
from airflow_provider_sei.protocol.families import FAMILIES, Option
from airflow_provider_sei.protocol.metrics import (
    CONTRIBUTOR_REPORT,
    TEAM_REPORT_EFFICIENCY,
    TEAM_REPORT_PRODUCTIVITY,
    metrics,
)
from airflow_provider_sei.protocol.settings import ALIASES, SEISettings
from airflow_provider_sei.sensors.sei import SEIExportSensor
from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup

__all__ = ["write"]

PIECES = {kind.__name__: kind for kind in (*(vars(sei)[name] for name in sei.__all__), SEIExportSensor)}
PIECES[SEITeamExportsTaskGroup.__name__] = SEITeamExportsTaskGroup
"""What has a table of its arguments."""
_REPORTS = (TEAM_REPORT_PRODUCTIVITY, TEAM_REPORT_EFFICIENCY, CONTRIBUTOR_REPORT)


def write(folder: Path) -> None:
    """Write each table to a Markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in _TABLES.items():
        (folder / f"{name}.md").write_text(table() + "\n")


def aliases() -> str:
    """Return the aliases of the vendor's clusters."""
    return _table(("Alias", "Base URL"), ((_code(name), _code(url)) for name, url in ALIASES.items()))


def connection_fields() -> str:
    """Return the fields of the connection's extra."""
    [connection_type] = get_provider_info()["connection-types"]
    defaults = {field.name: field.default for field in dataclasses.fields(SEISettings)}
    rows = []
    for name, field in connection_type["conn-fields"].items():
        default = defaults[name]
        rows.append((_code(name), field["label"], "" if default is None else f"{default:g}", field["description"]))
    return _table(("Extra", "In the form", "Default", "Description"), rows)


def families() -> str:
    """Return the families with their metric groups."""
    return _table(
        ("`family`", "Title", "`metric_groups`"),
        ((_code(each.name), each.title, _codes(each.metric_groups) or "none") for each in FAMILIES.values()),
    )


def options() -> str:
    """Return the options of all families; an option that several families share has one row."""
    users: dict[Option, list[str]] = {}
    for family in FAMILIES.values():
        for option in family.options:
            users.setdefault(option, []).append(family.name)
    return _table(
        ("`family`", "Argument", "Key in `options`", "Values", "Default"),
        (
            (
                "all" if len(names) == len(FAMILIES) else _codes(names),
                _code(option.argument),
                _code(option.key),
                _values(option),
                _default(option),
            )
            for option, names in sorted(users.items(), key=lambda item: len(item[1]) == len(FAMILIES))
        ),
    )


def arguments(kind: type) -> str:
    """Return the arguments of an operator, the sensor or the task group, with types and defaults."""
    texts = dict(re.findall(r"^:param (\w+): (.*?)(?=\n:|\Z)", inspect.getdoc(kind) or "", re.MULTILINE | re.DOTALL))
    templates = getattr(kind, "template_fields", ())
    rows = []
    for name, given in inspect.signature(kind).parameters.items():
        default = "required" if given.default is given.empty else _code(repr(given.default))
        default = "" if given.kind is given.VAR_KEYWORD else default
        is_template = "yes" if name in templates else ""
        rows.append((_code(name), _code(given.annotation), default, is_template, " ".join(texts[name].split())))
    return _table(("Argument", "Type", "Default", "Template", "Description"), rows)


def documented_metrics() -> str:
    """Return the documented metrics of each family and report."""
    parts = []
    for exports in (*(name for name in FAMILIES if metrics(name)), *_REPORTS):
        rows = ((_code(one.name), one.unit, one.description) for one in metrics(exports))
        parts.append(f"### {_title(exports)}\n\n{_table(('Metric', 'Unit', 'What it measures'), rows)}")
    return "\n\n".join(parts)


def faults() -> str:
    """Return the faults of the local server."""
    return _table(
        ("Effect", "What it does", "Parameters with defaults", "Calls"),
        (
            (
                _code(name),
                effect.meaning,
                ", ".join(f"{_code(key)} = {_code(repr(value))}" for key, value in effect.parameters.items()) or "none",
                "all" if effect.operations == OPERATIONS else _codes(effect.operations),
            )
            for name, effect in EFFECTS.items()
        ),
    )


def server_settings() -> str:
    """Return the settings of the local server."""
    return _table(
        ("Setting", "Default", "Description"),
        (
            (_code(field.name), _code(repr(field.default)), field.metadata["help"])
            for field in dataclasses.fields(ServerSettings)
        ),
    )


def _title(exports: str) -> str:
    family = FAMILIES.get(exports)
    return f"{family.title} (`{exports}`)" if family else f"Legacy reports (`{exports}`)"


def _values(option: Option) -> str:
    values = _codes(option.values) + (", or other text" if option.open_ended else "") or "any text"
    return values + (" (a list)" if option.many else "")


def _default(option: Option) -> str:
    return _code(option.default) if option.default else "not sent"


def _codes(words: Iterable[str]) -> str:
    return ", ".join(map(_code, words))


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


_TABLES: dict[str, Callable[[], str]] = {
    **{f"arguments_{name}": partial(arguments, kind) for name, kind in PIECES.items()},
    "aliases": aliases,
    "connection_fields": connection_fields,
    "families": families,
    "faults": faults,
    "metrics": documented_metrics,
    "options": options,
    "server_settings": server_settings,
}
