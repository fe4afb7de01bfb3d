"""The sensor, in ``sei``."""
