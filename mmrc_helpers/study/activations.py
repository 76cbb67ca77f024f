"""What a forward pass leaves in memory for the backward pass, counted tensor by tensor.

The counts were read off the tensors that PyTorch saves (saved_tensors_hooks) in the layers that all families
share, in every combination of full and LoRA training, precision and kind of attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mmrc_helpers.study.weights import Layers, Weights, matrices

TILE_TOKENS, TILE_WORDS = 4096, 32768  # of the logits that TRL's fused head holds at once
TILES_ON_CPU = 8.5  # such tiles in float32 beside the first, where no Triton kernel folds them (measured)
FROM_NORM = {"attention": ("q_proj", "k_proj", "v_proj"), "feed": ("gate_proj", "up_proj")}
LINEAR = (*FROM_NORM["attention"], "o_proj", *FROM_NORM["feed"], "down_proj")


@dataclass(frozen=True)
class Pass:
    """A forward pass of `rows` rows of `tokens` tokens.

    keys: of a row's pictures, read by cross-attention layers. patches: of a row's pictures, read by the
    vision tower; 0 where their features are known. hidden, computed: bytes of a value in the hidden stream,
    and of one that is computed with. cpu: eager attention, and no Triton. targets: linear layers with an
    adapter of this rank and dropout; none where every weight is trained. sees: the vision part is trained.
    """

    rows: int
    tokens: int
    keys: int
    patches: int
    hidden: int
    computed: int
    cpu: bool
    checkpointing: bool
    targets: Sequence[str]
    rank: int
    dropout: float
    sees: bool

    @property
    def count(self) -> int:
        """Tokens of the pass."""
        return self.rows * self.tokens

    @property
    def full(self) -> bool:
        """Whether every weight is trained."""
        return not self.targets

    @property
    def casts(self) -> bool:
        """Whether autocast computes in another precision than the hidden stream has."""
        return self.computed != self.hidden


def kept(weights: Weights, layers: Layers, of: Pass) -> int:
    """Bytes that the forward pass keeps for the backward pass."""
    ends = 8 * of.count * layers.width  # embeddings and the last norm
    mask = 4 * of.rows * of.tokens**2 if of.cpu else 0
    copies = _copies(weights, layers, of) if of.casts else 0
    inner = of.count * layers.width * of.hidden * layers.count
    if not of.checkpointing:
        inner = int(of.count * layer_bytes(layers, of)) * layers.count + layers.crossed * _crossed(layers, of)
    return ends + mask + copies + inner + (_trained_tower(weights, of) if of.sees else 0)


def passing(weights: Weights, layers: Layers, of: Pass) -> int:
    """Bytes that come and go while the others are kept: in the head, in a language layer, in the tower."""
    tower = 0 if of.sees else _frozen_tower(weights, of)
    return max(_head(layers, of), _in_a_layer(layers, of), tower)


def layer_bytes(layers: Layers, of: Pass) -> float:
    """Bytes of each token that a language layer keeps."""
    c, full = of.computed, of.full
    norms = 2 * layers.width * (4 + (of.hidden if full else 0))  # in float32, as RMSNorm computes
    if layers.normed:
        norms += (layers.queries + layers.keys) * (4 + (c if full else 0))
    if of.cpu:  # scores in float32 and as they are used; keys and values are repeated for every head
        attention = 3 * c * layers.queries + layers.heads * of.tokens * (4 + (c if c < 4 else 0))
    else:
        attention = 4 * c * layers.queries + 4 * layers.heads  # the fused kernel keeps its output
    feed = 3 * c * layers.inner  # gate, its activation, up
    return norms + attention + feed + _inputs(layers, of) + c * of.rank * len(of.targets)


def _inputs(layers: Layers, of: Pass) -> int:
    """Bytes of each token of what linear layers keep of their inputs: an input is kept once for all that read
    it, unless each casts it, or drops out of it, for itself."""
    widths = dict.fromkeys(LINEAR, layers.width) | {"o_proj": layers.queries, "down_proj": layers.inner}
    read = [name for name in LINEAR if of.full or name in of.targets]
    if of.dropout and not of.full:  # with a mask: on CPUs of values, else of bytes
        return (of.computed + (of.computed if of.cpu else 1)) * sum(widths[name] for name in read)
    if not of.cpu and (of.full or not of.casts):
        read = [name for name in read if name != "o_proj"]  # it reads what the fused attention keeps
    if not of.casts:
        for first, *others in FROM_NORM.values():
            shared = [name for name in read if name in (first, *others)]
            read = [name for name in read if name not in shared[1:]]
    return of.computed * sum(widths[name] for name in read)


def _copies(weights: Weights, layers: Layers, of: Pass) -> int:
    """Bytes of the copies of matrices that autocast computes with; with checkpointing those of frozen ones
    are there for a layer at a time."""
    own = of.computed * sum(rows * columns for rows, columns in matrices(weights, "language").values())
    return own // layers.count if of.checkpointing and not of.full else own


def _crossed(layers: Layers, of: Pass) -> int:
    """Bytes that one cross-attention layer keeps of pictures: keys, values, keys before their norm."""
    return of.rows * of.keys * (2 * of.computed * layers.queries + 4 * layers.keys)


def _head(layers: Layers, of: Pass) -> int:
    """Bytes of the logits that are there at once, and of the gradients behind them."""
    rows = min(of.count, TILE_TOKENS)
    tile = rows * TILE_WORDS * of.computed
    if of.cpu:  # what the vocabulary does not fill is never written, so takes no memory
        tile = int(rows * min(layers.vocabulary, TILE_WORDS) * (of.computed + 4 * TILES_ON_CPU))
    trained = layers.vocabulary * layers.width * (4 + of.hidden) if of.full else 0
    return tile + trained + of.count * layers.width * (4 + of.hidden)


def _in_a_layer(layers: Layers, of: Pass) -> int:
    """Bytes of the gradients alive in the backward pass of a layer; with checkpointing also of what it keeps,
    because it is computed once more."""
    scores = 8 * layers.heads * of.tokens if of.cpu else 0
    moving = 3 * of.computed * layers.inner + 8 * layers.width + scores
    again = int(of.count * layer_bytes(layers, of)) + _crossed(layers, of) if of.checkpointing else 0
    return of.count * moving + again


def _trained_tower(weights: Weights, of: Pass) -> int:
    """Bytes that a trained vision tower keeps: norms, inputs, queries, keys, values, feed-forward part."""
    width, count, inner = weights.tower
    each = width * (2 * of.hidden + 6 * of.computed) + 2 * of.computed * inner
    return of.rows * of.patches * (each + count * width * of.hidden if of.checkpointing else count * each)


def _frozen_tower(weights: Weights, of: Pass) -> int:
    """Bytes that pass through a layer of a frozen vision tower."""
    width, _, inner = weights.tower
    return of.rows * of.patches * (width * (of.hidden + 4 * of.computed) + 2 * of.computed * inner)
