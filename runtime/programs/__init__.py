"""Sequences of runs: what one request needs more than one network or more than one loop for."""
