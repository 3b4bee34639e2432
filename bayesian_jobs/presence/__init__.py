"""How a process lives on the database: its place among the living, and its sleep until there is something to do."""
