"""Sampling: solvers say rows, fold makes them a table, kernels execute it."""
