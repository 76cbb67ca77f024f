"""The reversal study: is what was taught in one direction reachable in the other? Cells, gates, the verdict
by the present rules and by earlier ones, tables and figures."""

from mmrc_helpers.analysis.reversal import cells, gates, history, plots, rules, tables, verdict

__all__ = ["cells", "gates", "history", "plots", "rules", "tables", "verdict"]
