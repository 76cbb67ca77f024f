"""How a question about people is put: its prompt, its options, its facets and the lesson it may serve."""

from collections.abc import Sequence

from mmrc_helpers.tasks.example import Example, Part

FACETS = ("population", "topic", "direction", "format", "order", "distractors", "drop")
VERDICTS = ("Right", "Wrong")
BUCKETS = 4


def example(
    *,
    question: str,
    topic: str,
    direction: str,
    format: str,
    population: str,
    order: str = "image_first",
    distractors: str = "",
    images: Sequence[str] = (),
    choices: Sequence[str] = (),
    choice_groups: Sequence[str] = (),
    about: str = "",
    any_words: bool = False,
    **fields,
) -> Example:
    """An Example about people. choices: names, words, verdicts, or for a line-up its images, in canonical
    order; choice_groups: whom they are about; about: the attribute that is asked, which decides by how much
    guessing is right; any_words: a written answer may be anything, as the names that a user gives."""
    facets = (population, topic, direction, format, order, distractors, "none")
    return Example(
        prompt=_prompt(question, tuple(images), tuple(choices), format, topic, order == "name_first"),
        options=_options(tuple(choices), format, direction, topic),
        facets=dict(zip(FACETS, facets, strict=True)),
        truth=({"groups": tuple(choice_groups)} if choice_groups else {})
        | ({"about": about} if about else {})
        | ({"any_words": True} if any_words else {}),
        lesson=_lesson(topic, direction, format),
        **fields,
    )


def _prompt(text: str, images: tuple, choices: tuple, format: str, topic: str, name_first: bool) -> tuple:
    """The parts of the question, pictures first or the name first."""
    pictures: tuple[Part, ...] = tuple(("image", name) for name in images)
    if format == "choice" and (choices == images or topic == "text"):
        listing = ("options", "pictures" if choices == images else "scene")
        return (("text", f"{text}\n"), listing) if name_first else (listing, ("text", text))
    if format == "choice":
        return (*pictures, ("text", f"{text}\n"), ("options", "words"))
    return (("text", f"{text} "), *pictures) if name_first and pictures else (*pictures, ("text", text))


def _options(choices: tuple, format: str, direction: str, topic: str) -> tuple[str, ...]:
    """What is compared: lettered contents, verdicts, or whole answers."""
    if format in ("choice", "judge"):
        return choices
    frame = "This is {}." if direction == "forward" and topic == "identity" else "{}."
    return tuple(frame.format(choice) for choice in choices)


def _lesson(topic: str, direction: str, format: str) -> str:
    """The kind of training row the question may be drawn for, as named in `teach.replay_mix`."""
    if topic == "attribute":
        return "caption" if format == "free" else "attribute"
    if topic in ("text", "in_context"):
        return topic if format == "choice" else "roll_call"
    return {"reverse/choice": "lineup", "reverse/free": "recall"}.get(f"{direction}/{format}", "portrait")


def bucket(group: str) -> int:
    """Line-ups never mix buckets, so that people taught both ways never stand beside those tested."""
    return int(group.rsplit("-", 1)[1]) % BUCKETS
