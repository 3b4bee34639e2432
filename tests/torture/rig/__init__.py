"""The torture rig: real processes on a real PostgreSQL, faults drawn from a seed, and a checker of what came of it."""
