"""The bundle: a folder with all that a model needs, described by its manifest, verified first."""
