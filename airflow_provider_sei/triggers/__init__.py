"""The trigger, in ``sei``."""
