"""A local server that implements the Harness SEI export API: real HTTP, deterministic data, faults on request.

It is for tests and demonstrations: run ``python -m airflow_provider_sei.local_server``, or use the ``sei_server``
fixture of :mod:`airflow_provider_sei.pytest_plugin`. It listens on the loopback interface unless another host is given;
anyone who can reach its port can use the control API under ``/_local/``.
"""
