"""The hook, in ``sei``."""
