"""Pictures by a local SDXL-Turbo pipeline, person by person and shared among the processes. Whoever looks
like somebody before them is painted again, until nobody does; a killed run goes on where it was.

Two people are alike where any picture of one correlates with any picture of the other at 16 x 16 pixels.
That finds pictures that nearly repeat each other, not faces that resemble. It needs no further model, so it
is the same wherever pictures are made: SDXL brings no model that reads pictures, and the vision part of the
model that is to learn from them may not decide what they are.

On GPUs not measured.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from mmrc_helpers.errors import UserError, listed, raise_all
from mmrc_helpers.execution import worker
from mmrc_helpers.models import folder as model_folder
from mmrc_helpers.models.load import device_of
from mmrc_helpers.store import disk
from mmrc_helpers.store.decoding import THUMB, thumb

LATENT = 8  # pixels on a side for one place of the latents
NAMED = 8  # groups that one message names


@dataclass(frozen=True)
class Subject:
    """Somebody to paint. names, prompts: of each view. origin: what the noise follows from, beside the names
    of group and view and the number of the attempt."""

    group: str
    names: tuple[str, ...]
    prompts: tuple[str, ...]
    origin: str


def paint(subjects: Sequence[Subject], settings: Mapping, machine: Mapping, place: Path) -> dict[str, Path]:
    """Group → the parquet table with its pictures (column image, a row for each name), below `place`.

    Each subject has the first attempt that is like none of those before it, so neither the number of
    processes nor later subjects change what comes out. Called by every process alike. Raises UserError
    without a whole pipeline, and if a subject is like an earlier one in all `settings.tries` attempts.
    """
    raise_all(model_folder.painter_problems(settings, machine))
    place.mkdir(exist_ok=True)
    several = worker.world_size() > 1
    if several:
        torch.distributed.init_process_group("gloo")
    painter = None
    while True:
        heard = [_settled(subjects, settings, place) if worker.rank() == 0 else None]
        if several:  # nobody paints before all have heard, and rank 0 has looked at what all have painted
            torch.distributed.broadcast_object_list(heard)
        chosen, missing = heard[0]
        if not missing:
            break
        painter = painter or Painter(settings, machine)
        _paint_share(missing, {of.group: of for of in subjects}, painter, place, len(chosen))
        if several:
            torch.distributed.barrier()
    if several:
        torch.distributed.destroy_process_group()
    if worker.rank() == 0 and (again := [group for group, attempt in chosen.items() if attempt]):
        worker.warn(f"painted again, because they looked like somebody before them: {listed(again, NAMED)}")
    return {group: table_of(place, group, attempt) for group, attempt in chosen.items()}


def _paint_share(
    missing: Sequence[tuple[str, int]],
    subjects: Mapping[str, Subject],
    painter: "Painter",
    place: Path,
    done: int,
) -> None:
    """Paints every k-th of what is missing, as one of k processes."""
    for number, (group, attempt) in enumerate(missing):
        if number % worker.world_size() == worker.rank():
            write_table(table_of(place, group, attempt), painter.pictures(subjects[group], attempt))
        worker.progress(done + number + 1, max(len(subjects), done + len(missing)))


# --- who is like whom --------------------------------------------------------------------------------------


def _settled(
    subjects: Sequence[Subject], settings: Mapping, place: Path
) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """(group → the attempt it has by now, the attempts that have to be painted). Read from the tables that
    are there, so it does not matter who has painted them, or when."""
    chosen: dict[str, int] = {}
    missing: list[tuple[str, int]] = []
    before = np.empty((sum(len(of.names) for of in subjects), 3 * THUMB * THUMB), np.float32)
    filled = 0
    for subject in subjects:
        worker.beat()
        for attempt in range(settings["tries"]):
            path = table_of(place, subject.group, attempt)
            if not path.is_file():
                missing.append((subject.group, attempt))
                break
            thumbs = read_thumbs(path)
            if not filled or (before[:filled] @ thumbs.T).max() < settings["alike"]:
                chosen[subject.group] = attempt
                before[filled : filled + len(thumbs)] = thumbs
                filled += len(thumbs)
                break
        else:
            raise UserError(
                f"people.sdxl.tries: {subject.group} looks like somebody before it in all of "
                f"{settings['tries']} attempts; raise people.sdxl.alike ({settings['alike']}), or ask for "
                "fewer people"
            )
    return chosen, missing


def table_of(place: Path, group: str, attempt: int) -> Path:
    """Where the pictures of an attempt lie."""
    return place / f"{group}-{attempt}.parquet"


def write_table(path: Path, pictures: Iterable[Image.Image]) -> None:
    """Keeps the pictures of an attempt: beside the table, then synced and renamed."""
    rows = []
    for image in pictures:
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", compress_level=1)
        rows.append({"image": buffer.getvalue(), "thumb": thumb(image)})
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        schema = pa.schema({"image": pa.binary(), "thumb": pa.list_(pa.float32())})
        pq.write_table(pa.Table.from_pylist(rows, schema), file)
        disk.sync_file(file)
    part.replace(path)


def read_thumbs(path: Path) -> np.ndarray:
    """What the pictures of an attempt are compared by, (pictures, 768)."""
    return np.stack(pq.read_table(path, columns=["thumb"])["thumb"].to_numpy())


# --- painting ----------------------------------------------------------------------------------------------


class Painter:
    """A pipeline on this process's device, half precision on GPUs."""

    def __init__(self, settings: Mapping, machine: Mapping):
        from diffusers import AutoencoderTiny, AutoPipelineForText2Image, logging  # slow to import

        logging.set_verbosity_error()  # else it prints every long prompt, twice a pass
        self.settings, self.device, self.warned = settings, device_of(machine), False
        dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        where = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
        folder = model_folder.where({"name": settings["model"]}, machine)
        half = {"variant": "fp16"} if any(folder.glob("*/*.fp16.safetensors")) else {}
        try:
            self.pipe = AutoPipelineForText2Image.from_pretrained(
                folder, add_watermarker=False, **where, **half
            )
            if settings["tiny_vae"]:
                folder = model_folder.where({"name": settings["tiny_vae"]}, machine)
                self.pipe.vae = AutoencoderTiny.from_pretrained(folder, **where)
        except (OSError, ValueError, KeyError, TypeError, NotImplementedError, RuntimeError) as error:
            said = str(error).strip().splitlines()[0]
            raise UserError(f"people.sdxl: {folder} cannot be loaded ({said}); download it again") from error
        self.pipe.to(self.device)
        self.pipe.set_progress_bar_config(disable=True)

    def pictures(self, subject: Subject, attempt: int) -> Iterator[Image.Image]:
        """Every view of a subject, RGB, `kept` pixels on a side. The same for the same attempt, up to the
        device's rounding: noise is drawn on the CPU, and passes hold the same pictures wherever they run."""
        size, kept = self.settings["batch"], self.settings["kept"]
        for first in range(0, len(subject.names), size):
            names = subject.names[first : first + size]
            yield from (
                image.convert("RGB").resize((kept, kept), Image.Resampling.LANCZOS)
                for image in self._pass(subject, attempt, names, subject.prompts[first : first + size])
            )
            worker.beat()

    def _pass(self, subject: Subject, attempt: int, names: Sequence[str], prompts: Sequence[str]):
        self._warn_of_long(prompts)
        side, share = self.settings["side"], self.settings["variety"]
        shape = (1, self.pipe.unet.config.in_channels, side // LATENT, side // LATENT)
        common = _noise(shape, f"{subject.origin}/{subject.group}/{attempt}")
        seeds = [f"{subject.origin}/{name}/{attempt}" for name in names]
        # Both parts are normal and independent, so the sum has variance 1 as the model expects.
        latents = [(1 - share**2) ** 0.5 * common + share * _noise(shape, seed) for seed in seeds]
        return self.pipe(
            list(prompts),
            num_inference_steps=self.settings["steps"],
            guidance_scale=0.0,  # SDXL-Turbo is distilled without it (arXiv 2311.17042)
            height=side,
            width=side,
            latents=torch.cat(latents).to(self.device, self.pipe.unet.dtype),
            generator=[_generator(f"{seed}/steps") for seed in seeds],
        ).images

    def _warn_of_long(self, prompts: Sequence[str]) -> None:
        longest = self.pipe.tokenizer.model_max_length
        lengths = map(len, self.pipe.tokenizer(list(prompts)).input_ids)
        if any(length > longest for length in lengths) and not self.warned:
            worker.warn(f"prompts of more than {longest} tokens are cut there: the end of {prompts[0]!r}, …")
            self.warned = True


def _noise(shape: Sequence[int], seed: str) -> torch.Tensor:
    return torch.randn(shape, generator=_generator(seed))


def _generator(seed: str) -> torch.Generator:
    """A generator of the CPU, whatever the device, seeded by a hashed string."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:7])
    return torch.Generator("cpu").manual_seed(number)


def licence(settings: Mapping) -> str:
    """A sentence about who may use what the weights paint."""
    model, tiny = settings["model"], settings["tiny_vae"]
    said = (
        f"Their pictures were painted by the weights {model}. Licence of the weights: {_licence_of(model)}."
    )
    return f"{said} They were decoded by {tiny}; its licence: {_licence_of(tiny)}." if tiny else said


def _licence_of(folder: str) -> str:
    return model_folder.published(folder).get("licence") or f"not known here; see the card of {folder}"
