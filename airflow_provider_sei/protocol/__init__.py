"""What Harness SEI says, as plain values and functions: no sockets, no clock, no Airflow.

Start reading at ``families``. Transports spend what ``exports``, ``reports``, ``listing`` and ``teams`` describe.
"""
