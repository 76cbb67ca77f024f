"""What the graders of puzzles share: whether a transcription is where it should be, and how much is right."""

from collections.abc import Sequence

Cells = Sequence[Sequence[str]]  # [row][column]


def is_transcribed_as_asked(transcription: Cells | None, view: str) -> bool:
    """A text is not written down again; a picture may be, and must be where it is asked."""
    if view == "text":
        return transcription is None
    return transcription is not None if view == "image_via_text" else True


def cells_alike(said: Cells | None, true: Cells) -> float:
    """Share of the cells that a transcription has in their places, of all that either has."""
    if said is None:
        return 0.0
    found, wanted = (
        {(r, c): cell for r, row in enumerate(rows) for c, cell in enumerate(row)} for rows in (said, true)
    )
    return sum(found.get(place) == cell for place, cell in wanted.items()) / len(found | wanted)
