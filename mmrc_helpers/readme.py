"""`python -m mmrc_helpers.readme STUDY …`: writes the results of finished studies into README.md, each
between its marks `<!-- results of STUDY -->` and `<!-- end -->`, so that no number is typed by hand, and its
figures between `<!-- figure NAME of STUDY -->` and `<!-- end -->`, with copies that can be committed. A study
has marks of one kind or of both."""

import re
import sys
from collections.abc import Sequence

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import surroundings, terminal
from mmrc_helpers.store import files, folders
from mmrc_helpers.study.runs import load_study

README = files.REPOSITORY / "README.md"
FIGURES = files.REPOSITORY / "artifacts" / "readme"


def main(studies: Sequence[str]) -> int:
    """The command line. Returns the exit status: 2 if a study is not finished or has no marks."""
    return terminal.status(lambda: _write(studies))


def _write(studies: Sequence[str]) -> int:
    from mmrc_helpers.analysis.readme import readme_table

    text = README.read_text(encoding="utf-8")
    for name in studies:
        study = load_study(name)
        drawn = re.search(rf"<!-- figure \w+ of {study.name} -->", text)
        if not drawn or f"<!-- results of {study.name} -->" in text:
            text = replaced(text, study.name, readme_table(study))
        text = with_figures(text, study.name)
    files.write_text(README, text)
    return 0


def replaced(text: str, study: str, table: str) -> str:
    """The text with what stands between the study's marks replaced. Raises UserError without marks."""
    marks = re.compile(rf"(<!-- results of {study} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise UserError(f"README.md has no line `<!-- results of {study} -->` with `<!-- end -->` behind it")
    return marks.sub(lambda found: f"{found[1]}{table}{found[2]}", text)


def with_figures(text: str, study: str) -> str:
    """The text with the study's figures between their marks; copies of them are in FIGURES. Raises UserError
    where the study has no such figure."""
    marks = re.compile(rf"(<!-- figure (\w+) of {study} -->\n).*?(<!-- end -->)", re.DOTALL)
    return marks.sub(lambda found: f"{found[1]}{_figure(study, found[2])}{found[3]}", text)


def _figure(study: str, name: str) -> str:
    from mmrc_helpers.figures.export import alternative_text

    drawn = folders.study_folder(study) / "figures" / f"{name}.svg"
    if not drawn.is_file():
        raise UserError(f"{show(drawn)} does not exist; run `make report STUDY={study}`")
    kept = FIGURES / f"{study}-{name}.svg"
    files.make_folder(kept.parent)
    files.write_text(kept, drawn.read_text(encoding="utf-8"))
    alt = alternative_text(drawn).replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{alt}]({kept.relative_to(README.parent).as_posix()})\n"


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.readme")
    sys.exit(main(sys.argv[1:]))
