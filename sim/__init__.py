"""What every accelerator shares: timed dataflow graphs, two engines, energy, results.

Nothing here knows an accelerator or a network.
"""

from sim import cache

cache.provide()
