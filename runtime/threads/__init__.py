"""The threads of a runtime: one loop per device, and one codec worker beside it."""
