"""The parts of an explanation: what it rests on, what the ledger tells, and what is still to come."""
