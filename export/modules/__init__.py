"""Thin torch modules around networks: their forwards have the port names of a bundle."""
