"""The simple-to-hard study: does training on SIMPLE puzzles, in text or in pictures, reach HARD pictures?
Gaps, where answers go wrong, size of the data, alignment of gradients, gates and a verdict for every
supervision."""

from mmrc_helpers.analysis.simple_to_hard import alignment, gates, plots, tables, verdict

__all__ = ["alignment", "gates", "plots", "tables", "verdict"]
