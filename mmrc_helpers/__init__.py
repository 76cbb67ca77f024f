"""The verbs that a notebook may call. A verb's first word tells its cost: make_, train, evaluate and trace
make an artifact (once; afterwards they are free), check_, score and verdict give a table, plot_ a figure
(saved for print as well, beside the executed notebooks), show_ a sheet to read.

Imports wait until a verb is called, so that `import mmrc_helpers` is quick and never loads torch.
"""

# --- open --------------------------------------------------------------------------------------------------


def open_run(study: str, variant: str, seed: int):
    """The run of a study (a name in params/ or a YAML file) for one variant and seed. UserError names a near
    miss."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.study.runs import find_run, load_study

    reading.show_whole_tables()
    return find_run(load_study(study), variant, seed)


def open_study(study: str):
    """The study of this name in params/, or of this YAML file."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.study.runs import load_study

    reading.show_whole_tables()
    return load_study(study)


# --- data --------------------------------------------------------------------------------------------------


def make_data(run):
    """Make the run's pictures and questions unless they are there; table of how many there are."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.study import stages
    from mmrc_helpers.worlds.people import promises

    stages.make(stages.data_stage(run), run.params["machine"])
    return promises.counts(reading.people(run), reading.examples(run), reading.images(run)).set_index(
        "population"
    )


def check_data(run):
    """Table of the promises that the data must keep: unique people, disjoint views and wordings, whole
    pictures."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.worlds.people import promises

    table = promises.data_promises(reading.people(run), reading.examples(run), reading.images(run))
    return table.set_index("promise")


def show_people(run, population: str = "novel", count: int = 8, views: int = 6):
    """Contact sheet: several views of each of the first people, with name, descriptor and looks."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets

    chosen = [person for person in reading.people(run) if person["population"] == population][:count]
    return _html(sheets.people(chosen, reading.images(run), views))


def show_questions(run):
    """One test question of every kind, as the model sees it, with its right answer."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets
    from mmrc_helpers.worlds.people import promises

    chosen = promises.gallery(reading.examples(run, "test"))
    return _html(sheets.questions(chosen, reading.images(run), reading.names(run)))


# --- training ----------------------------------------------------------------------------------------------


def train(run):
    """Train every phase of the run that is not trained yet; table of the phases."""
    import pandas as pd

    from mmrc_helpers.store import files, folders
    from mmrc_helpers.study import stages

    rows = []
    for number, stage in enumerate(stages.train_stages(run), 1):
        folder, phase = stages.make(stage, run.params["machine"]), stage.params["train"]
        seconds = files.read_json(folder / "made.json")["seconds"]
        last = files.read_jsonl(folders.check(folder, "*.json*") / "metrics.jsonl")[-1]
        row = {"phase": number, "method": phase["method"], "cells": ", ".join(phase["cells"])}
        steps = files.read_json(folder / "exposure.json")["rows"] // phase["batch"]
        row |= {"steps": steps, "last loss": round(last["loss"], 4), "minutes": round(seconds / 60, 2)}
        rows.append(row | {"folder": folder.name})
    return (
        pd.DataFrame(rows).set_index("phase")
        if rows
        else _note("No phases: this variant is the untrained control.")
    )


def show_batch(run):
    """The first training rows of the last phase, token by token; marked tokens carry loss."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets
    from mmrc_helpers.store import files, folders
    from mmrc_helpers.study import stages

    phases = stages.train_stages(run)
    if not phases:
        return _note("No phases, so no batch: this variant is the untrained control.")
    rows = files.read_json(folders.check(phases[-1].folder, "batch.json") / "batch.json")
    return _html(sheets.batch(rows, reading.images(run), reading.names(run)))


def plot_loss(run):
    """Loss and learning rate over the steps of each phase."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import accuracy

    losses = reading.losses(run)
    return _figure(run, "loss", accuracy.curves, losses) if len(losses) else _note("No phases, so no loss.")


def check_exposure(opened):
    """Table of what training showed: rows, supervised tokens, those about novel people, measured replay
    share."""
    from mmrc_helpers.analysis import reading

    table = reading.exposure(opened)
    return (
        reading.percents(table, ["replay_share"]).set_index("variant")
        if len(table)
        else _note("No phases, so no exposure.")
    )


# --- answers: all but evaluate take a run or a study --------------------------------------------------------


def evaluate(run):
    """Ask the run's model every test question unless that is done; table of how many answers there are."""
    import pandas as pd

    from mmrc_helpers.analysis import reading
    from mmrc_helpers.store import files
    from mmrc_helpers.study import stages

    folder = stages.make(stages.eval_stage(run), run.params["machine"])
    answers, seconds = reading.answers(run), files.read_json(folder / "made.json")["seconds"]
    row = {"answers": len(answers), "people": answers["person"].nunique(), "minutes": round(seconds / 60, 2)}
    return pd.DataFrame([row | {"folder": folder.name}]).set_index("answers")


def score(opened):
    """Table of accuracy with 95 % intervals in every cell, for every arm, population and condition."""
    from mmrc_helpers.analysis import reading

    return reading.cell_table(reading.answers(opened)).set_index(["variant", "population", "condition"])


def score_judges(opened):
    """Table of judging as detection: rates of "Right" on matches and mismatches, their difference, AUC."""
    from mmrc_helpers.analysis import reading, scores

    shares = ["accuracy", "low", "high", "tpr", "fpr", "separation", "auc", "share_right"]
    table = reading.percents(scores.judges(reading.answers(opened)), shares)
    return table.set_index(["variant", "population", "direction"])


def score_people(opened):
    """Table of how many people are right in both directions of a choice, in one only, in none."""
    from mmrc_helpers.analysis import reading, scores

    shares = ["both", "forward_only", "reverse_only", "neither"]
    table = reading.percents(scores.consistency(reading.answers(opened)), shares)
    return table.set_index(["variant", "population"])


def plot_cells(opened):
    """The main figure: accuracy in six cells, one panel per arm, with intervals, chance and background
    people."""
    from mmrc_helpers.analysis import reading, scores
    from mmrc_helpers.figures import accuracy

    arms = getattr(opened, "report", {}).get("arms", ())
    answers = reading.answers(opened)
    present = [arm for arm in arms if (answers["variant"] == arm).any()]
    return _figure(opened, "cells", accuracy.cells, scores.primary(scores.score(answers)), present)


def plot_answers(opened):
    """How often each letter and verdict was favoured: a collapsed model shows here."""
    from mmrc_helpers.analysis import reading, scores
    from mmrc_helpers.figures import accuracy

    return _figure(opened, "answers", accuracy.answers, scores.answer_shares(reading.answers(opened)))


def plot_storage(opened):
    """Stored against reachable: the storage probe beside reverse choice, on the very same questions."""
    from mmrc_helpers.analysis import reading, scores
    from mmrc_helpers.figures import accuracy

    table = scores.storage(reading.answers(opened))
    if table.empty:
        return _note("evaluate.storage is off in this study.")
    return _figure(opened, "storage", accuracy.storage, table)


def plot_drops(opened):
    """Accuracy with the picture or the text destroyed: what survives is not measuring what it should."""
    from mmrc_helpers.analysis import reading, scores
    from mmrc_helpers.figures import accuracy

    table = scores.drops(scores.score(reading.answers(opened)))
    if table.empty:
        return _note("evaluate.drops is empty in this study.")
    return _figure(opened, "drops", accuracy.drops, table)


def plot_gates(opened, arm: str = "forward"):
    """The gates of a run, or of one arm of a study, with intervals, and the power of reverse choice as
    run."""
    from mmrc_helpers.analysis import reading, reversal
    from mmrc_helpers.figures import accuracy

    answers = reading.arm(opened, arm)
    if answers.empty:
        return _note(f"This study has no evaluated arm {arm}, from which gates are read.")
    return _figure(
        opened, "gates", accuracy.gates, reversal.gate_table(answers), reversal.power_table(answers)
    )


def show_mistakes(opened, arm: str = "forward", count: int = 6):
    """Wrong answers on novel people with their pictures, one per cell, of a run or of one arm of a study."""
    from mmrc_helpers.analysis import reading, scores
    from mmrc_helpers.figures import sheets
    from mmrc_helpers.study.runs import find_run

    answers = scores.pick(reading.arm(opened, arm), population="novel", correct=0)
    if answers.empty:
        return _note(f"No mistakes on novel people in the arm {getattr(opened, 'variant', arm)}.")
    seed = int(answers["seed"].min())
    wrong = answers[answers["seed"] == seed].groupby(["direction", "format"]).head(1).head(count)
    run = opened if hasattr(opened, "seed") else find_run(opened, arm, seed)
    return _html(sheets.mistakes(wrong, reading.images(run), reading.names(run)))


# --- dynamics ----------------------------------------------------------------------------------------------


def trace(run):
    """Probe the run's model while it trains, or the adapters that training kept, unless that is done; table
    of what was probed in each phase."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.study import stages

    for stage in stages.trace_stages(run):
        stages.make(stage, run.params["machine"])
    table = reading.trace_table(reading.traces(run))
    return table.set_index("phase") if len(table) else _note(reading.why_untraced(run))


def plot_curves(opened, focus=None):
    """Log-probability of the right answer over training: of a run forward against reverse, of a study arm
    against arm, with the alignment of the directions' gradients. focus: a band of the axis to enlarge, such
    as (-0.5, 0)."""
    from mmrc_helpers.figures import curves

    if hasattr(opened, "seed"):
        options = opened.params["data"]["options"]
        return _traced(opened, "curves", "logprobs", curves.cells, options, focus)
    return _traced(opened, "curves", "logprobs", curves.comparison, opened.variants, focus)


def plot_margins(run, focus=None):
    """The right answer, a wrong person's answer and their margin over training, in every cell. focus: a band
    of margins to enlarge."""
    from mmrc_helpers.figures import curves

    return _traced(run, "margins", "logprobs", curves.margins, focus)


def plot_candidates(run):
    """Seven kinds of answers over training, with the entropy of the model and the squeezing index."""
    from mmrc_helpers.figures import curves

    return _traced(run, "candidates", "logprobs", curves.candidates)


def plot_storage_curves(run):
    """The storage probe over training, beside the margin of the reverse choice that it explains."""
    from mmrc_helpers.figures import curves

    return _traced(run, "storage_curves", "storage", curves.storage, run.params["data"]["options"])


def plot_examples(run):
    """Heat maps of every question at every probe: the margin of the right answer."""
    from mmrc_helpers.figures import curves

    return _traced(run, "examples", "logprobs", curves.examples)


def plot_alignment(run):
    """Which groups of questions have gradients that pull together, over training and by layer."""
    from mmrc_helpers.figures import gradients

    return _traced(run, "alignment", "gradients", gradients.alignment)


# --- the study ---------------------------------------------------------------------------------------------


def verdict(study):
    """Table of the study's verdict and its reasons; also written to verdict.json beside the report."""
    from mmrc_helpers.analysis import reading, reversal
    from mmrc_helpers.store import files, folders

    answers = reading.answers(study)
    found = reversal.verdict(answers)
    folder = folders.study_folder(study.name)
    files.make_folder(folder)
    content = {"study": study.name, "question": study.question, "expected": study.expected, **found.as_dict()}
    files.write_json(folder / "verdict.json", content | {"missing_runs": reading.missing(study)})
    return reading.verdict_table(study, found, reversal.power_table(answers))


def plot_matrix(study):
    """The transfer matrix: the cell in which the novel facts were taught × the cell in which they are
    asked."""
    from mmrc_helpers.analysis import reading, scores
    from mmrc_helpers.figures import accuracy

    if not study.report["matrix"]:
        return _note(
            "This study has no transfer matrix (report.matrix is off); the study transfer_matrix has one."
        )
    scored, taught = scores.score(reading.answers(study)), reading.taught(study)
    novel, background = (scores.matrix(scored, taught, who) for who in ("novel", "background"))
    return _figure(study, "matrix", accuracy.matrices, novel, background)


def show_provenance(opened):
    """What was run: training exposure per arm, every stage folder with time and device, package versions."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets

    made = reading.provenance(opened)
    sections = [
        ("Training exposure, means over seeds", reading.percents(reading.exposure(opened), ["replay_share"])),
        ("Stage folders", made.drop(columns="packages")),
        ("Packages", reading.packages(made)),
    ]
    return _html(sheets.tables(sections))


def _figure(opened, name: str, draw, *tables):
    """The figure `draw(*tables)` as the notebook shows it; saved for print in the run's or study's folder."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import export, style

    export.save(lambda: draw(*tables), reading.figures_folder(opened), name)
    with style.style("screen"):
        return style.image(draw(*tables))


def _traced(opened, name: str, table: str, draw, *more):
    """A figure of the traces, or one sentence that says why there are none in this table."""
    from mmrc_helpers.analysis import reading

    traces = reading.traces(opened)
    if traces[table].empty:
        return _note(reading.why_untraced(opened, table))
    return _figure(opened, name, draw, traces, *more)


def _html(text: str):
    from IPython.display import HTML

    return HTML(text)


def _note(text: str):
    from html import escape

    return _html(f"<p>{escape(text)}</p>")
