"""Graphs in narrower types: written out node by node before any engine is built."""
