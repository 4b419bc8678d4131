"""Where a compiled model runs: one file a target."""
