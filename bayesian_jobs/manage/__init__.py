"""Jobs, runs and the service, managed from the command line."""
