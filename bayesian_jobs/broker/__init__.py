"""Message transport between schedulers, senders and workers: a Dramatiq broker in PostgreSQL."""
