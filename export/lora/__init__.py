"""LoRA files: low-rank changes of a network's weights, added before the network is traced.

Every format is reduced to one: layers, each a product of an up and a down matrix, a scale and the
places of a network that it changes. diffusers has converters of its own, but they rename and drop
tensors without a word and know some sizes by heart, so that a key which does not fit cannot be
named any more; here names are derived from the network itself, and diffusers is what tests compare
with.
"""
