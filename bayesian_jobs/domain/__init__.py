"""What a job, a trigger and a run are, and which fire times run: values and functions, no I/O."""
