"""emoji: a small text-to-image pipeline that draws emoji from their Unicode names."""
