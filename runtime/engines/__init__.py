"""Engines: compiled networks behind one protocol, and which of them runs here."""
