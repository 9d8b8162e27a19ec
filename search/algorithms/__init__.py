"""Search algorithms by name, one file each; see `search.algorithms.registry`."""
