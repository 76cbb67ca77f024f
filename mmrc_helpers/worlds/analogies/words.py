"""What a puzzle says: its panels in words, the question, the reasoning and the block that ends an answer.

Style `full` is plain English; `terse` says the same in few tokens, for models made from scratch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmrc_helpers.worlds.analogies.values import (
    ATTRIBUTES,
    ITEM,
    Panel,
    Puzzle,
    Room,
    Rule,
    Value,
    values_of,
)

Names = Mapping[tuple[str, str], Mapping[Value, str]]  # (kind, attribute) → value → its word


@dataclass(frozen=True)
class Style:
    """The fixed words around the values. {} stands for a number, an attribute or a value list."""

    example: str  # heading in the puzzle
    query: str
    options: str
    panel: str  # before a panel in examples and query
    option: str  # before a panel among the options
    attribute: str
    between: str  # between attributes
    comma: str  # between values
    thinking: tuple[str, str]  # headings in the reasoning: an example, the query
    conclusion: str  # the relation of the examples
    found: str  # a rule that was found in an example
    weighed: str  # an option: number, attribute, values, relation, yes or no
    example_label: str
    option_label: str
    verdicts: tuple[str, str]
    answer: str  # behind the labels


STYLES = {
    "full": Style(
        example="Example {}:",
        query="Query:",
        options="Options:",
        panel="Panel {}: ",
        option="Option {}: ",
        attribute="{}: {}",
        between="; ",
        comma=", ",
        thinking=("Example {}", "Query"),
        conclusion="Both examples: {}",
        found=" -> {}",
        weighed="Option {}: {} {} -> {}, {}",
        example_label="Example {}: ({} {}, {})",  # the block has the form of arXiv 2501.02669
        option_label="Option {}: ({} {}, {}), {}",
        verdicts=("consistent", "not consistent"),
        answer="\nAnswer: {}",
    ),
    "terse": Style(
        example="example",
        query="query",
        options="options",
        panel="",
        option="{} : ",
        attribute="{1}",
        between=" , ",
        comma=" ",
        thinking=("example", "query"),
        conclusion="both {}",
        found=" > {}",
        weighed="{} : {} {} > {} {}",
        example_label="{1} {2} {3}",
        option_label="{1} {2} {3} {4}",
        verdicts=("yes", "no"),
        answer="Answer: {}",
    ),
}
# The words of a terse puzzle, in ascending order; a study may use fewer values.
COLORS = ("black", "dark", "grey", "light", "white")
SIZES = ("tiny", "small", "medium", "large", "huge")
POSITIONS = ("nw", "n", "ne", "w", "mid", "e", "sw", "s", "se")

_ATTRIBUTES = ", ".join(f"{kind} {name}" for kind, names in ATTRIBUTES.items() for name in names)
_RULES = (
    "In each example one attribute follows a relation from the first two panels to the third, and the "
    "relation is the same in both examples. The right option completes the query by that relation, on any "
    f"attribute.\nAttributes: {_ATTRIBUTES}.\n"
    "Relations between the values found in the panels: AND (the third has what both others have), OR (what "
    "either has), XOR (what exactly one of them has), Progression (a value only rises or only falls; "
    "types join those already there; positions all move by the same step).\n"
    "Give every example and every option a line with its (attribute, relation), say of each option whether "
    "it is consistent or not consistent with the examples, and end with `Answer: <option>`."
)
_SEEN = {
    "text": "The text above is a puzzle: two examples of three panels, a query of two panels whose third is "
    "missing, and four options for it.",
    "image": "The picture is a puzzle. Rows 1 and 2 are examples of three panels, row 3 is a query of two "
    "panels whose third is missing, and the last row has four options for it, 1 to 4 from the left.",
}
_TRANSCRIBE = "First write the puzzle down as text, panel by panel."


def names_of(room: Room, style: str) -> Names:
    """The words of the values: themselves, or with terse one word each, by their rank."""
    if style == "full":
        return {key: {value: str(value) for value in values} for key, values in room.values.items()}
    words = {"color": COLORS, "size": SIZES, "position": POSITIONS}
    return {
        (kind, attribute): dict(zip(values, words.get(attribute, values), strict=False))
        for (kind, attribute), values in room.values.items()
    }


def question_of(style: str, view: str, transcribe: bool) -> str:
    """The question about the text above or the picture."""
    if style == "terse":
        return "write , which" if transcribe else "which"
    seen = _SEEN["text" if view == "text" else "image"]
    return " ".join([seen, *([_TRANSCRIBE] if transcribe else []), _RULES])


# --- the puzzle -------------------------------------------------------------------------------------------


def puzzle_text(puzzle: Puzzle, style: str, names: Names) -> str:
    """The puzzle as text, 16 lines; also the transcription of its picture."""
    form, lines = STYLES[style], []
    for number, panels in enumerate(puzzle.examples, 1):
        lines += [form.example.format(number), *_numbered(form.panel, panels, style, names)]
    lines += [form.query, *_numbered(form.panel, puzzle.query, style, names)]
    lines += [form.options, *_numbered(form.option, puzzle.options, style, names)]
    return "\n".join(lines)


def _numbered(start: str, panels: Sequence[Panel], style: str, names: Names) -> list[str]:
    return [start.format(number) + panel_line(panel, style, names) for number, panel in enumerate(panels, 1)]


def panel_line(panel: Panel, style: str, names: Names) -> str:
    """The panel in words: which values each attribute has, in a fixed order."""
    form = STYLES[style]
    parts = [form.attribute.format(attribute, _listed(panel, attribute, style, names)) for attribute in
             ITEM[panel.kind]]  # fmt: skip
    if panel.kind == "shape":
        count = len(panel.items)
        parts.insert(0, str(count) if style == "terse" else f"{count} shape{'s' if count > 1 else ''}")
    return form.between.join(parts)


def _listed(panel: Panel, attribute: str, style: str, names: Names) -> str:
    """The values of an attribute in ascending order."""
    values = sorted(values_of(panel, attribute))
    words = names.get((panel.kind, attribute), {})  # numbers of shapes have no other words
    return STYLES[style].comma.join(words.get(value, str(value)) for value in values)


# --- the answer -------------------------------------------------------------------------------------------


def answer_text(puzzle: Puzzle, style: str, names: Names, transcribe: bool) -> str:
    """The whole answer: the transcription if asked, the reasoning, the block, blank lines between them."""
    block = block_text(puzzle.rules, puzzle.option_rules, puzzle.answer, style)
    start = [puzzle_text(puzzle, style, names)] if transcribe else []
    return "\n\n".join([*start, reasoning_text(puzzle, style, names), block])


def blocks(answer: str) -> tuple[str, str, str]:
    """An answer's transcription, reasoning and block, each with the blank line behind it; the first two may
    be empty. Only for answers of the form of `answer_text`, whole or with lines of reasoning left out."""
    lines = answer.splitlines(keepends=True)
    block = len(lines) - (8 if answer.startswith("Example") or "\nExample 1: (" in answer else 7)
    head = "".join(lines[:block])
    transcription = ""
    if len(lines) >= block > 16 and all(lines[place].strip() in _HEADINGS for place in (0, 4, 8, 11)):
        transcription = "".join(lines[:17])
    return transcription, head[len(transcription) :], "".join(lines[block:])


_HEADINGS = {form.example.format(n) for form in STYLES.values() for n in (1, 2)} | {
    heading for form in STYLES.values() for heading in (form.query, form.options)
}


def block_text(rules: Sequence[Rule], option_rules: Sequence[Rule], answer: int, style: str) -> str:
    """The labels of examples and options and the answer, which counts from 0."""
    form = STYLES[style]
    lines = [form.example_label.format(number, *rule) for number, rule in enumerate(rules, 1)]
    for place, rule in enumerate(option_rules):
        verdict = form.verdicts[0 if place == answer else 1]
        lines.append(form.option_label.format(place + 1, *rule, verdict))
    return "\n".join([*lines, form.answer.format(answer + 1)])


def reasoning_text(puzzle: Puzzle, style: str, names: Names) -> str:
    """From the values of all attributes to the relation of the examples and to the option that has it."""
    form, lines = STYLES[style], []
    for number, (panels, rule) in enumerate(zip(puzzle.examples, puzzle.rules, strict=True), 1):
        lines.append(form.thinking[0].format(number))
        for attribute in ATTRIBUTES[panels[0].kind]:
            found = rule[2] if attribute == rule[1] else "none"
            lines.append(_compared(panels, attribute, style, names) + form.found.format(found))
    relation = puzzle.rules[0][2]
    lines += [form.conclusion.format(relation), form.thinking[1]]
    lines += [
        _compared(puzzle.query, attribute, style, names) for attribute in ATTRIBUTES[puzzle.query[0].kind]
    ]
    for number, (panel, rule) in enumerate(zip(puzzle.options, puzzle.option_rules, strict=True), 1):
        values = _listed(panel, rule[1], style, names)
        verdict = "yes" if rule[2] == relation else "no"
        lines.append(form.weighed.format(number, rule[1], values, rule[2], verdict))
    return "\n".join(lines)


def _compared(panels: Sequence[Panel], attribute: str, style: str, names: Names) -> str:
    values = " | ".join(_listed(panel, attribute, style, names) for panel in panels)
    return f"{attribute} {values}" if style == "terse" else f"{attribute}: {values}"
