"""The triggers: ``sei`` waits for one export, ``watcher`` reports completed exports to asset watchers."""
