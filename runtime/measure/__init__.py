"""Measuring: spans, records, clocks."""
