"""Other schedulers and queues, each set up as its own documentation advises: one script a peer, which runs in an
environment of its own and knows nothing of this project but `benchmarks.peers.errand`."""
