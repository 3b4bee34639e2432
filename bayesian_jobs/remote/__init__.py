"""The REST API as whoever calls it sees it."""
