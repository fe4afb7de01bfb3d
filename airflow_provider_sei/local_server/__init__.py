"""A local stand-in for the Harness SEI export API: real HTTP, deterministic data, faults on request.

::

    python -m airflow_provider_sei.local_server --port 8765 --seconds-to-complete 3

serves everything this provider talks to, as strictly as the vendor's documents describe it; under ``/_local/`` it tells
what it was asked and what it handed out, and takes faults. In tests, use the ``sei_server`` fixture of
:mod:`airflow_provider_sei.pytest_plugin`, or :class:`~airflow_provider_sei.local_server.running.RunningServer`.

It is a tool for tests and demonstrations: it binds to the loopback interface unless told otherwise, its keys protect
nothing, and everything under ``/_local/`` is open to whoever can reach the port.

Layers, each knowing only those above it::

    settings, clock, bodies            values
    organisation, columns, data, legacy              what the files hold
    exports, fault_table, faults, journal            what the server remembers
    calls, routes, strictness, body_checks           what it refuses
    answers, lists, team_answers, file_answers,
    service, world                                   what it answers
    delivery, app, admin, running, __main__          HTTP: nothing above imports aiohttp
"""
