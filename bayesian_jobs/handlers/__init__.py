"""What jobs do: one handler a module, found by the registry."""
