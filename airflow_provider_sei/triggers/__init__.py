"""The triggers: ``sei`` waits for an export, ``turn`` to create one, ``watcher`` for those of anybody."""
