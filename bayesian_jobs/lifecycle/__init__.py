"""The life of a run, an arrow a file: define → dispatch → execute; recover and prune mend and tidy behind it."""
