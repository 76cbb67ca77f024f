"""What it shows: answers become tables, tables become findings. A finding is what a kind of study concludes:
one file (or folder) here, one entry of FINDINGS and one notebook 05_report_NAME."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis import accuracy, reasoning, reversal, scores, simple_to_hard, spatial
from mmrc_helpers.analysis.evidence import Axes, Evidence, Verdict
from mmrc_helpers.analysis.intervals import Estimate

# What is drawn of any world; notebooks of a run ask every finding for these.
OF_ANY_WORLD: dict[str, Callable[[Evidence], Figure | str]] = {
    "scores": accuracy.plot_scores,
    "gates": accuracy.plot_gates,
    "controls": accuracy.plot_controls,
    "answers": accuracy.plot_answers,
    "transfer": accuracy.plot_transfer,
    "calibration": accuracy.plot_calibration,
}


@dataclass(frozen=True)
class Finding:
    """A finding's functions. All take the evidence; a figure may be a sentence that says why there is none.

    version: of its rules, raised when the same answers may get another verdict; the marks of reports and
    verdict.json hold it. axes: the facets that span its cells. controls: control → the result of it that
    would refute the verdict. table: everything in numbers. figures: name → what the verb plot_NAME shows; all
    of `OF_ANY_WORLD` unless it draws its own. asked: the answers that it is about, with `cell`. measure: what
    is read from those of one cell.
    """

    version: int
    axes: Axes
    verdict: Callable[[Evidence], Verdict]
    controls: Mapping[str, str]
    table: Callable[[Evidence], pd.DataFrame]
    figures: Mapping[str, Callable[[Evidence], Figure | str]] = field(default_factory=OF_ANY_WORLD.copy)
    asked: Callable[[Evidence], pd.DataFrame] = accuracy.asked
    measure: Callable[[pd.DataFrame], Estimate] = scores.accuracy


FINDINGS: dict[str, Finding] = {
    "reversal": Finding(
        version=reversal.rules.VERSION,
        axes=reversal.cells.AXES,
        verdict=reversal.verdict.verdict,
        controls={
            "untrained": "above chance: the questions give their answers away",
            "permuted names": "above chance: something else than the taught pairs is learned",
            "picture dropped": "above chance: the answer is read from the words",
            "text dropped": "above chance: the answer is read from the pictures",
            "background people": "below 90 %: the format is lost; a low reverse says nothing",
            "names in the prompt": "below 95 %: choosing fails, whatever is known",
            "taught both ways": "below 90 %: the cell cannot be learned, and its chance is no curse",
        },
        table=reversal.tables.everything,
        asked=reversal.cells.asked,
        measure=reversal.cells.measure,
        figures={
            "scores": reversal.plots.plot_scores,
            "gates": reversal.plots.plot_gates,
            "controls": reversal.plots.plot_controls,
            "answers": reversal.plots.plot_answers,
            "transfer": reversal.plots.plot_transfer,
            "binding": reversal.plots.plot_binding,
            "calibration": reversal.plots.plot_calibration,
        },
    ),
    "reasoning": Finding(
        version=reasoning.VERSION,
        axes=reasoning.AXES,
        verdict=reasoning.verdict,
        controls={
            "supervised": "margins that move as far without preferences: they are no effect of preferring",
            "other kind of worse trace": "moves as far as the one that was taught: neither was told apart",
            "accuracy after the first phase": "low: there was no reasoning to prefer",
        },
        table=reasoning.everything,
        figures={
            **OF_ANY_WORLD,
            "directions": reasoning.plot_directions,
            "margins": reasoning.plot_margins,
            "squeezing": reasoning.plot_squeezing,
            "examples": reasoning.plot_examples,
        },
    ),
    "simple_to_hard": Finding(
        version=simple_to_hard.verdict.VERSION,
        axes=simple_to_hard.verdict.AXES,
        verdict=simple_to_hard.verdict.verdict,
        controls={
            "untrained": "as good: the questions give their answers away",
            "shuffled answers": "above chance: something else than the puzzles is learned",
            "picture dropped": "above chance: the answer is read from the words",
            "taught in HARD images": "low: the cell cannot be learned, and not reaching it says nothing",
            "reading": "HARD pictures misread: then not the difficulty of reasoning is in the way",
        },
        table=simple_to_hard.tables.everything,
        figures={
            **OF_ANY_WORLD,
            "scores": simple_to_hard.plots.plot_scores,
            "gates": simple_to_hard.plots.plot_gates,
            "gaps": simple_to_hard.plots.plot_gaps,
            "reading": simple_to_hard.plots.plot_reading,
            "sizes": simple_to_hard.plots.plot_sizes,
            "alignment": simple_to_hard.plots.plot_alignment,
        },
    ),
    "spatial": Finding(
        version=spatial.VERSION,
        axes=spatial.AXES,
        verdict=spatial.verdict,
        controls={
            "rewarded against an empty truth": "as good: the reward taught nothing about what is true",
            "the first phase alone": "as good: preferring and rewarding added nothing",
            "untrained": "as good in the direction that was not taught: nothing reached it",
            "background shapes": "worse than before: what was known was lost for what was taught",
            "picture dropped": "above chance: the answer is read from the words",
        },
        table=spatial.everything,
        asked=spatial.asked,
        figures={
            **OF_ANY_WORLD,
            "scores": spatial.plot_scores,
            "controls": spatial.plot_controls,
            "answers": spatial.plot_answers,
            "transfer": spatial.plot_transfer,
            "relations": spatial.plot_relations,
            "benchmarks": spatial.plot_benchmarks,
            "confusion": spatial.plot_confusion,
            "rewards": spatial.plot_rewards,
        },
    ),
    "accuracy": Finding(
        version=accuracy.VERSION,
        axes=Axes(),
        verdict=accuracy.verdict,
        controls={
            "untrained": "as good: nothing was gained by training",
            "dropped": "as good as whole: the answer is read from what was left",
        },
        table=accuracy.everything,
    ),
}
