"""The whole service in one terminal: API, scheduler and workers under one supervisor, and their database."""
