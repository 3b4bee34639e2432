"""Dynamic, durable periodic and one-off jobs for fleets of Dramatiq workers, kept in PostgreSQL."""

__version__ = "0.1.0"
