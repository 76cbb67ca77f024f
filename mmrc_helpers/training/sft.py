"""Supervised fine-tuning by TRL's SFTTrainer. What is ours is the order of the rows, the loss mask and, while
the vision part is frozen, features in place of pixels."""

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from mmrc_helpers.training.phase import Ours, Phase, by_length_in_batches


class Trainer(Ours, SFTTrainer):
    """TRL's trainer with our optimizer, rates and checkpoints.

    The loss is the mean over the supervised tokens of the *global* batch, however it is split over passes and
    processes. (Qwen's classes say that they take no `num_items_in_batch`, after which transformers averages
    each pass over its own tokens: a result that depends on the split.)
    """

    def __init__(self, phase: Phase, **kwargs):
        self.phase = phase
        super().__init__(**kwargs)
        self.model_accepts_loss_kwargs = True


def trainer(phase: Phase, kind: type[Trainer] = Trainer, loss: str = "") -> Trainer:
    """The trainer of a supervised phase over chats. kind: of a method that is another loss over the same
    rows. loss: TRL's, in place of the phase's own parameter."""
    ordered = by_length_in_batches(phase, [row for (row,) in phase.tokens], lambda t: len(t.ids_T))
    arguments = SFTConfig(
        **phase.arguments,
        loss_type=loss or phase.method["loss"],
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return kind(
        phase,
        model=phase.model,
        args=arguments,
        train_dataset=Dataset.from_dict({"row": range(len(ordered))}),
        data_collator=lambda batch: phase.encoder.batch([ordered[item["row"]] for item in batch]),
        processing_class=getattr(phase.processor, "tokenizer", phase.processor),
        callbacks=list(phase.callbacks),
    )
