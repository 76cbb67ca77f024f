"""Conversations as the text that a model reads: its chat template, checked and where needed mended.

A template is usable if it keeps pictures where they stand, continues an open conversation when an answer
comes, and ends an answer with a control token. Then masks need no marks in it.
"""

import re
from collections.abc import Iterable, Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Part, Turn

# Given to every template; those that do not ask for a name ignore it. Llama's would write today's date, so
# that answers change from day to day; Qwen3's would open an answer without the empty thought that closes it.
ALWAYS = {"date_string": "26 Jul 2024", "enable_thinking": False}

# How a template wants the contents of turns: lists of parts everywhere; a string from the assistant; strings.
FORMS = ("parts", "answers", "strings")

# LLaVA-Next's Mistral format with pictures where they stand (its own template moves them to the front) and
# with the beginning-of-text token that its processor adds.
LLAVA_NEXT = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{%- generation -%}
{{- ' ' -}}{%- for part in message.content -%}{{- part.text -}}{%- endfor -%}{{- eos_token -}}
{%- endgeneration -%}
{%- else -%}
{{- ' [INST] ' if not loop.first else '[INST] ' -}}
{%- for part in message.content -%}
{{- '<image>\\n' if part.type == 'image' else part.text -}}
{%- endfor -%}
{{- ' [/INST]' -}}
{%- endif -%}
{%- endfor -%}"""


def tokenizer_of(processor: ProcessorMixin | PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer of a processor; a text-only model's tokenizer stands for its processor."""
    return processor.tokenizer if isinstance(processor, ProcessorMixin) else processor


def image_id_of(processor: ProcessorMixin | PreTrainedTokenizerBase) -> int:
    """The id of the token that stands for a picture; -1 for a model without pictures."""
    return processor.image_token_id if isinstance(processor, ProcessorMixin) else -1


def render(tokenizer, chats: Sequence[Sequence[Turn]], form: str, opened: bool) -> list[str]:
    """The conversations as text; `opened`: with what makes the assistant answer behind the last turn."""
    messages = [[_message(role, parts, form) for role, parts in turns] for turns in chats]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened, **ALWAYS)


def _message(role: str, parts: Sequence[Part], form: str) -> dict:
    as_string = form == "strings" or (form == "answers" and role == "assistant")
    if as_string:
        return {"role": role, "content": "".join(content for _, content in parts)}
    return {"role": role, "content": [{"type": kind, "text": c} if kind == "text" else {"type": kind}
                                      for kind, c in parts]}  # fmt: skip


_ASKED: tuple[Turn, ...] = (("user", (("text", "Which one?"),)),)
_SAID: tuple[Turn, ...] = (*_ASKED, ("assistant", (("text", "Cobalt fern"),)))
_AGAIN: tuple[Turn, ...] = (*_SAID, *_ASKED, ("assistant", (("text", "Amber"),)))
_SHOWN: tuple[Turn, ...] = (
    ("user", (("text", "first"), ("image", ""), ("text", "second"), ("image", ""), ("text", "third"))),
)


def form_of(processor) -> str:
    """Which of FORMS the template takes without losing a word. Raises UserError if it takes none."""
    tokenizer, failures = tokenizer_of(processor), []
    for form in FORMS[:2] if isinstance(processor, ProcessorMixin) else FORMS:  # a string shows no picture
        try:
            (text,) = render(tokenizer, [_AGAIN], form, opened=False)
        except (TemplateError, TypeError, ValueError) as error:
            failures.append(str(error))
            continue
        if re.search("Which one.*Cobalt fern.*Which one.*Amber", text, re.DOTALL) and "'type'" not in text:
            return form
    raise UserError(
        "model.name: its chat template does not write down what is said"
        + (f" ({failures[-1]})" if failures else "")
        + "; put one into chat_template.jinja that does"
    )


def mend_template(processor) -> None:
    """Gives a processor (or tokenizer) a usable chat template: TRL's training variant where there is one, our
    own for LLaVA-Next, else its own. Raises UserError that lists what is wrong with it."""
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    tokenizer = tokenizer_of(processor)
    if not (template := processor.chat_template or tokenizer.chat_template):
        raise UserError(
            "model.name: it has no chat template, as models have that were not taught to answer; take the "
            "variant for chats (often called -Instruct), or put a chat_template.jinja into its folder"
        )
    template = template["default"] if isinstance(template, dict) else template
    if "[INST]" in template and type(processor).__name__ == "LlavaNextProcessor":
        template = LLAVA_NEXT
    processor.chat_template = tokenizer.chat_template = template
    if not has_generation_markers(template):
        try:
            template = get_training_chat_template(processor) or template
        except (
            ValueError,
            TemplateError,
        ):  # TRL has no variant of it; its own serves if it passes the checks below
            pass
    processor.chat_template = tokenizer.chat_template = template
    problems = list(_problems(processor))
    if problems:
        raise UserError(f"model.name: its chat template {' and '.join(problems)}; mend chat_template.jinja")


def _problems(processor) -> Iterable[str]:
    """What makes a template unusable, as the ends of one sentence."""
    tokenizer, form = tokenizer_of(processor), form_of(processor)
    (opened,) = render(tokenizer, [_ASKED], form, opened=True)
    (said,) = render(tokenizer, [_SAID], form, opened=False)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (opened, said)]
    if ids[1][: len(ids[0])] != ids[0]:
        yield "writes a question in another way once it is answered"
    elif not set(ids[1][len(ids[0]) :]) & control_ids(tokenizer):
        yield "ends an answer without a control token, so that a model never learns to stop"
    if isinstance(processor, ProcessorMixin):
        (shown,) = render(tokenizer, [_SHOWN], form, opened=False)
        image = re.escape(processor.image_token)
        if not re.search(f"first((?!{image}|second).)*{image}.*second((?!{image}|third).)*{image}.*third",
                         shown, re.DOTALL):  # fmt: skip
            yield "moves pictures away from the words they stand beside"


def control_ids(tokenizer) -> set[int]:
    """The ids of the tokenizer's control tokens."""
    added = tokenizer.added_tokens_decoder
    return {number for number, token in added.items() if token.special} | set(tokenizer.all_special_ids)


def end_of_turn(tokenizer, form: str) -> int:
    """The id of the control token behind an answer; a model stops at it, and what follows is not learned."""
    opened, said = (
        tokenizer(render(tokenizer, [turns], form, opened=is_open)[0], add_special_tokens=False)["input_ids"]
        for turns, is_open in ((_ASKED, True), (_SAID, False))
    )
    ends = control_ids(tokenizer)
    return next(number for number in said[len(opened) :] if number in ends)
