"""The verbs that a notebook may call. A verb's first word tells its cost: make_, train, evaluate and trace
make an artifact (once; afterwards they are free), check_, plan_ and score give a table, plot a figure (saved
for print as well, beside the executed notebooks), verdict and show_ a sheet to read. Where a section does not
apply (no phases, no gates, no traces), a verb says why in one sentence, and rendered pages leave it out.

Imports wait until a verb is called, so that `import mmrc_helpers` is quick and never loads torch.
"""

# --- open --------------------------------------------------------------------------------------------------


def open_run(study: str, variant: str, seed: int):
    """The run of a study (a name in params/ or a YAML file) for one variant and seed. UserError names a near
    miss."""
    from mmrc_helpers.study.runs import find_run

    return find_run(open_study(study), variant, seed)


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

    stages.make(stages.data_stage(run), run.params["machine"])
    return reading.counts(run)


def make_dataset(rows, folder):
    """Write rows of your own (mappings of texts and PIL pictures, in TRL's column conventions) into a folder;
    returns the path that a study file names: `data: {world: files}`, `files: {path: …}`. UserError lists all
    that is wrong with them."""
    from mmrc_helpers.worlds.files.writing import from_rows

    return from_rows(rows, folder)


def make_tsv(run, folder):
    """Write the test questions of a puzzle world as the TSV that VLMEvalKit reads, a file for each task,
    difficulty and view; returns their paths, which a study can name: `data: {world: tsv}`, `tsv: {hard:
    [PATH]}`."""
    from pathlib import Path

    from mmrc_helpers.analysis import reading
    from mmrc_helpers.worlds.puzzles.tsv import write_all

    return write_all(reading.examples(run, "test"), reading.pictures(run).bytes, Path(folder))


def check_data(run):
    """Table of the promises that the data must keep, such as disjoint training and tests, whole pictures."""
    from mmrc_helpers.analysis import reading

    return reading.promises(run).set_index("promise")


def show_facts(run, count: int = 8, pictures: int = 6):
    """Contact sheet: several pictures of each of `count` facts, spread over all, with title and text."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets

    facts = reading.facts(run)
    chosen = facts[:: max(1, len(facts) // count)][:count]
    return _html(sheets.facts(chosen, reading.pictures(run).bytes, pictures))


def show_questions(run):
    """One test question of every kind, as the model sees it, with its right answer."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets

    return _html(sheets.questions(reading.gallery(run), reading.pictures(run).bytes, reading.titles(run)))


# --- training ----------------------------------------------------------------------------------------------


def plan_training(run):
    """Table of the phases as they will be, or were, trained."""
    from mmrc_helpers.analysis import reading

    table = reading.plan(run)
    return (
        table.set_index("phase") if len(table) else _note("No phases: this variant is the untrained control.")
    )


def train(run):
    """Train every phase of the run that is not trained yet; table of what came out."""
    import pandas as pd

    from mmrc_helpers.store import files, folders
    from mmrc_helpers.study import stages

    rows = []
    for number, stage in enumerate(stages.train_stages(run), 1):
        folder, phase = stages.make(stage, run.params["machine"]), stage.params["train"]
        seconds = files.read_json(folder / "made.json")["seconds"]
        last = files.read_jsonl(folders.check(folder, "*.json*") / "metrics.jsonl")[-1]
        steps = files.read_json(folder / "exposure.json")["rows"] // phase["batch"]
        row = {"phase": number, "method": phase["method"]["name"], "steps": steps}
        row |= {"last loss": round(last["loss"], 4), "minutes": round(seconds / 60, 2)}
        rows.append(row | {"folder": folders.name_of(folder)})
    return pd.DataFrame(rows).set_index("phase") if rows else _note("No phases, so nothing was trained.")


def show_batch(run):
    """The first training rows of the last phase, token by token; marked tokens carry loss. Sides of a pair
    stand side by side; under tasks stand answers of the first and the last logged step with their rewards."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets
    from mmrc_helpers.store import files, folders
    from mmrc_helpers.study import stages

    phases = stages.train_stages(run)
    if not phases:
        return _note("No phases, so no batch: this variant is the untrained control.")
    folder = folders.check(phases[-1].folder, "batch.json", "said.jsonl")
    rows = files.read_json(folder / "batch.json")
    shown = sheets.batch(rows, reading.pictures(run).bytes, reading.titles(run))
    return _html(shown + sheets.tables([("Answers that the model wrote", reading.said(folder))]))


def plot_training(run):
    """Loss and learning rate over the steps of each phase, and what its method logs beside them."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import training

    rows = reading.metrics(run)
    return _figure(run, "training", training.metrics, rows) if len(rows) else _note("No phases, so no loss.")


def check_exposure(opened):
    """Table of what training showed: rows, supervised tokens, those about what was taught, measured replay
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

    from mmrc_helpers.store import files, folders
    from mmrc_helpers.study import stages

    rows = []
    for phase, world, stage in stages.eval_stages(run):
        folder = stages.make(stage, run.params["machine"])
        made = files.read_json(folder / "made.json")
        row = {
            "after phase": phase,
            "world": world,
            "answers": len(files.read_jsonl(folder / "answers.jsonl")),
        }
        rows.append(row | {"minutes": round(made["seconds"] / 60, 2), "folder": folders.name_of(folder)})
    return pd.DataFrame(rows).set_index(["after phase", "world"])


def score(opened):
    """Table of everything in numbers, with 95 % intervals, variant by variant."""
    from mmrc_helpers.analysis import reading

    table = reading.finding_of(opened).table(reading.evidence(opened))
    return table.set_index([name for name in ("variant", "population", "condition") if name in table])


def plot_scores(opened):
    """The main figure: every cell of every variant, with intervals, chance and what is known beside."""
    return plot(opened, "scores")


def plot_gates(opened):
    """The conditions under which the verdict may be read, with intervals, and the power as run."""
    return plot(opened, "gates")


def plot_answers(opened):
    """How often each option was favoured: a collapsed model shows here."""
    return plot(opened, "answers")


def plot_controls(opened):
    """Controls against chance: untrained and permuted variants, destroyed pictures and texts."""
    return plot(opened, "controls")


def plot(opened, name: str, **options):
    """A figure of the study's finding by its name, such as "binding", "calibration" or "transfer"; options
    are the figure's own, such as a band of the axis to enlarge."""
    from functools import partial

    from mmrc_helpers.analysis import reading
    from mmrc_helpers.errors import check_known

    finding = reading.finding_of(opened)
    check_known(name, finding.figures, f"{opened.report['finding']}: figure")
    return _figure(opened, name, partial(finding.figures[name], **options), reading.evidence(opened))


def show_mistakes(opened, count: int = 6):
    """Wrong answers about what was taught with their pictures, one per cell, of a run or of the variant of a
    study that is read; each with a link to it among all answers."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets
    from mmrc_helpers.study.runs import find_run

    wrong = reading.mistakes(opened, count)
    if wrong.empty:
        return _note("No mistakes about what was taught.")
    first = wrong.iloc[0]
    run = opened if hasattr(opened, "seed") else find_run(opened, first["variant"], int(first["seed"]))
    facets = [name for name in reading.world_of(run).facets if name in wrong]
    page = "../answers.html" if opened is run else "answers.html"
    return _html(sheets.mistakes(wrong, reading.pictures(run).bytes, reading.titles(run), facets, page))


def browse(opened):
    """Every answer of a run or a study to look at, one after the other: filtered, beside what another variant
    or phase answered, by mouse or keys. For JupyterLab; the page answers.html beside a report is the same."""
    from mmrc_helpers.analysis.browser.widget import AnswerBrowser

    return AnswerBrowser(opened)


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
    """Log-probability of the right answer over training: of a run cell against cell, of a study variant
    against variant, with the alignment of gradients. focus: a band of the axis to enlarge, such as
    (-0.5, 0)."""
    from mmrc_helpers.analysis import curves

    if hasattr(opened, "seed"):
        return _traced(opened, "curves", "logprobs", curves.plot_cells, focus=focus)
    return _traced(opened, "curves", "logprobs", curves.plot_variants, opened.variants, focus=focus)


def plot_margins(run, focus=None):
    """The right answer, a wrong one and their margin over training, in every cell. focus: a band of margins
    to enlarge."""
    from mmrc_helpers.analysis import curves

    return _traced(run, "margins", "logprobs", curves.plot_margins, focus=focus)


def plot_candidates(run):
    """All kinds of answers over training, with the entropy of the model and the squeezing index."""
    from mmrc_helpers.analysis import curves

    return _traced(run, "candidates", "logprobs", curves.plot_candidates)


def plot_examples(run):
    """Heat maps of every question at every probe: the margin of the right answer."""
    from mmrc_helpers.analysis import curves

    return _traced(run, "examples", "logprobs", curves.plot_examples)


def plot_alignment(run):
    """Which groups of questions have gradients that pull together, over training and by layer."""
    from mmrc_helpers.analysis import curves

    return _traced(run, "alignment", "gradients", curves.plot_alignment)


# --- the study ---------------------------------------------------------------------------------------------


def verdict(study):
    """The study's verdict in two sentences, with a table of its reasons folded behind them; also written to
    verdict.json beside the report."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import sheets
    from mmrc_helpers.store import crates, files, folders

    finding = reading.finding_of(study)
    found = finding.verdict(reading.evidence(study))
    if not crates.imported():  # which is only read
        folder = folders.study_folder(study.name)
        files.make_folder(folder)
        texts = {"study": study.name, "question": study.question, "expected": study.expected}
        more = {
            "finding": study.report["finding"],
            "version": finding.version,
            "missing_runs": reading.missing(study),
        }
        files.write_json(folder / "verdict.json", texts | found.as_dict() | more)
    told = (f"{found.verdict[:1].upper()}{found.verdict[1:]}.", found.sentence)
    return _html(sheets.verdict(told, reading.verdict_table(study, found)))


def show_provenance(opened):
    """What was run: the folders of every run, exposure per variant, every stage folder with time and device,
    versions of packages."""
    from mmrc_helpers.analysis import provenance, reading, scores
    from mmrc_helpers.figures import sheets

    made, shown = provenance.provenance(opened), reading.exposure(opened)
    equal = f" {scores.matched(shown)}" if len(shown) > 1 else ""
    sections = [
        ("Where the numbers come from: folders below artifacts/", provenance.sources(opened)),
        (f"Training exposure, means over seeds.{equal}", reading.percents(shown, ["replay_share"])),
        ("Stage folders", made.drop(columns="packages")),
        ("Packages", provenance.packages(made)),
    ]
    return _html(sheets.tables(sections))


def _figure(opened, name: str, draw, *tables):
    """The figure `draw(*tables)` as the notebook shows it; saved for print in the run's or study's folder,
    unless that was imported. Or the sentence that `draw` gives in its place."""
    from mmrc_helpers.analysis import reading
    from mmrc_helpers.figures import export, style
    from mmrc_helpers.store import crates

    with style.style("screen"):
        figure = draw(*tables)
        if isinstance(figure, str):
            return _note(figure)
        shown = style.image(figure, name)
    if not crates.imported():
        export.save(lambda: draw(*tables), reading.figures_folder(opened), name)
    return shown


def _traced(opened, name: str, table: str, draw, *more, **options):
    """A figure of the traces, or one sentence that says why there are none in this table."""
    from functools import partial

    from mmrc_helpers.analysis import reading

    traces = reading.traces(opened)
    if traces[table].empty:
        return _note(reading.why_untraced(opened, table))
    return _figure(opened, name, partial(draw, **options), traces, reading.axes_of(opened, traces), *more)


def _html(text: str):
    from IPython.display import HTML

    return HTML(text)


def _note(text: str):
    from html import escape

    return _html(f'<p class="does-not-apply">{escape(text)}</p>')
