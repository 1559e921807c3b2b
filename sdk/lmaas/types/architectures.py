"""Network architectures a training request may ask for, told apart by `type`."""

from typing import Annotated, Literal

from pydantic import Field

from lmaas.types._wire import WireRequest

Activation = Literal["relu", "gelu", "silu", "tanh"]


class MLP(WireRequest):
    """A multi-layer perceptron: the input flattened, then linear layers with an activation between.

    Suits tensors of any shape and small images. `hidden=()` is a linear model.
    """

    type: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, max_length=32)] = (256, 128)
    """Units of each hidden layer, from input to output."""
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of zeroing a hidden unit during training."""
    batch_norm: bool = False


class CNN(WireRequest):
    """A convolutional network: blocks of 3x3 convolution, batch norm, 2x2 pooling and activation, then a linear head.

    Suits images, and tensors of shape (height, width) or (channels, height, width).
    """

    type: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1, max_length=8)] = (
        32,
        64,
    )
    """Feature maps of each block."""
    hidden: Annotated[int, Field(ge=1)] = 128
    """Units of the linear layer before the output."""
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batch_norm: bool = True


class AudioCNN(WireRequest):
    """A convolutional network for sound: it looks at the log-mel spectrogram of a clip.

    Blocks of 3x3 convolution, batch norm, pooling and activation, then the mean and the maximum over time and a linear
    head.
    """

    type: Literal["audio_cnn"] = "audio_cnn"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1, max_length=5)] = (
        16,
        32,
        64,
    )
    """Feature maps of each block."""
    hidden: Annotated[int, Field(ge=1)] = 128
    """Units of the linear layer before the output."""
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    augment: bool = True
    """While training, move clips in time and blank some bands and frames (SpecAugment, Park et al. 2019)."""


class TextEncoder(WireRequest):
    """A network for text. Words are hashed into a table of vectors, so that no vocabulary is fitted.

    `encoder="bag"` averages the vectors of words and of runs of words (fastText, Joulin et al. 2016): fast, and hard to
    beat where the words tell the answer. `encoder="transformer"` lets words attend to each other: slower to train, for
    texts whose order matters.
    """

    type: Literal["text_encoder"] = "text_encoder"
    encoder: Literal["bag", "transformer"] = "bag"
    buckets: Annotated[int, Field(ge=1 << 8, le=1 << 24)] = 1 << 16
    """Entries of the table; words that share one are not told apart."""
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 64
    """Of each word's vector."""
    ngrams: Annotated[int, Field(ge=1, le=4)] = 2
    """The longest run of words that has a vector of its own (`bag`)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    layers: Annotated[int, Field(ge=1, le=24)] = 2
    """Of attention (`transformer`)."""
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    max_words: Annotated[int, Field(ge=1, le=2048)] = 256
    """Words of a text that are attended to (`transformer`); a bag takes up to 2,048."""


class TabularMLP(WireRequest):
    """A multi-layer perceptron for tables: a vector for every category beside the numbers, then linear layers."""

    type: Literal["tabular_mlp"] = "tabular_mlp"
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, max_length=32)] = (128, 64)
    """Units of each hidden layer, from input to output."""
    embedding: Annotated[int, Field(ge=1, le=1024)] = 16
    """The most dimensions of a category's vector; columns with few categories get fewer."""
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2


class Llama(WireRequest):
    """The shape of a Llama to be trained from nothing (Touvron et al., 2023); the defaults are a small one."""

    layers: Annotated[int, Field(ge=1, le=128)] = 4
    heads: Annotated[int, Field(ge=1, le=256)] = 4
    kv_heads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Heads of keys and values, a divisor of `heads`; omitted, as many."""
    width: Annotated[int, Field(ge=2)] = 128
    """Of the hidden state: an even multiple of `heads`."""
    hidden: Annotated[int, Field(ge=1)] | None = None
    """Units of the feed-forward layers; omitted, 8/3 of the width, rounded up to a multiple of 16."""
    context: Annotated[int, Field(ge=2, le=131_072)] = 256
    """Tokens that prompt and answer share."""
    tokenizer: Literal["bpe", "char"] = "bpe"
    """Fitted on the training part: byte-level pairs, or one token for each character."""
    vocabulary: Annotated[int, Field(ge=260, le=262_144)] = 1024
    """Tokens a `bpe` may have; a `char` tokenizer has as many as there are characters."""
    tie_embeddings: bool = True
    """Whether the output layer is the embedding again."""


class LoRA(WireRequest):
    """Low-rank adapters instead of all weights (Hu et al., 2021); they are merged into the model when it is done."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """The adapters count `alpha / rank` times."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Names of layers, such as `q_proj`; omitted, every linear layer but the output."""


class CausalLM(WireRequest):
    """A language model: a base model fine-tuned, or a Llama trained from nothing (not both).

    With neither, and no `base_model` in the request, the base model is `stories-260k`.
    """

    type: Literal["causal_lm"] = "causal_lm"
    base_model: str | None = None
    """One of `GET /v1/base-models`."""
    llama: Llama | None = None
    lora: LoRA | None = None
    """Omitted, all weights learn."""


Architecture = Annotated[MLP | CNN | AudioCNN | TextEncoder | TabularMLP | CausalLM, Field(discriminator="type")]
