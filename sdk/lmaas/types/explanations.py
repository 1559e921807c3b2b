"""Explanations: how much each part of a row has to do with its answer."""

from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import Label, WireObject, WireRequest
from lmaas.types.predictions import RowError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ExplanationMethod = Literal["integrated_gradients", "saliency", "occlusion"]


class ExplanationRequest(WireRequest):
    """Rows to explain, as they would be predicted."""

    inputs: Annotated[list[Any], Field(min_length=1, max_length=64)]
    target: Label | None = None
    """The class to explain, the index of the value, or the token a prompt goes on with; omitted, the likeliest class or
    token of each row, or the first value."""
    method: ExplanationMethod = "integrated_gradients"
    """`integrated_gradients` adds up to what the row has over a baseline (Sundararajan et al., 2017), `saliency` is the
    size of the gradient (Simonyan et al., 2013), `occlusion` what is lost without a part (Zeiler and Fergus, 2014)."""
    user: Annotated[str, Field(max_length=256)] | None = None
    """Whose request this is: the same user meets the same variant."""


class Attribution(WireObject):
    """The explanation of one row, or its error.

    What is explained is `output`: the score of `target` before the softmax, or a value in its own units. Of a prompt
    to a language model the token that follows it is explained; `label` is the likeliest, `score` its probability.
    """

    label: Label | None = None
    score: float | None = None
    labels: list[Label] | None = None
    scores: list[float] | None = None
    value: float | list[float] | None = None
    target: Label | None = None
    """The class or the token that is explained, or the index of the value."""
    kind: Literal["tensor", "image", "audio", "text", "table"] | str | None = None
    attributions: Any = None
    """Shaped like the row: of a tensor its shape, of a picture (height, width, channels), of sound (bands, frames), of
    a text a number for each token, of a table one for each column by name. Positive speaks for the target."""
    output: float | None = None
    baseline_output: float | None = None
    """Of a row with nothing in it: a black picture, a clip at its mean level, no word, a median row of a table, average
    tokens for a prompt."""
    delta: float | None = None
    """Of integrated gradients: by how much the sum of the attributions misses `output - baseline_output`."""
    input: Any = None
    """The row as the model read it: numbers, `{"base64": ...}` of a PNG, a text, a dict; of sound there is `levels`."""
    tokens: list[str] | None = None
    spans: list[tuple[int, int]] | None = None
    """Of text: where each token begins and ends in `input`."""
    levels: list[list[float]] | None = None
    """Of sound: the log-mel spectrogram, (bands, frames)."""
    hertz: list[float] | None = None
    """Of sound: the middle of each band."""
    frame_seconds: float | None = None
    """Of sound: from one frame to the next."""
    error: RowError | None = None


class Explanation(WireObject):
    """Why a deployment answers rows as it does; `plot()` draws it."""

    id: str
    object: Literal["explanation"] | str = "explanation"
    deployment: str
    model: str
    method: ExplanationMethod | str
    outputs: list[Attribution]
    created_at: float

    def __len__(self) -> int:
        return len(self.outputs)

    def __getitem__(self, row: int) -> Attribution:
        return self.outputs[row]

    def plot(self, row: int = 0, *, path: str | PathLike[str] | None = None) -> "Figure":
        """Draw the explanation of a row, and save it where a path is given; needs `lmaas[plot]`.

        A heat map over a picture, beneath a spectrogram, or of numbers; a text in colours; bars for the columns of a
        table. Red speaks for the target, blue against it.

        Raises:
            ValueError: The row has an error instead of an explanation.
        """
        from lmaas import plotting

        return plotting.drawn(self.outputs[row], path=path)

    def text(self, row: int = 0, *, colour: bool = True) -> str:
        """Return the explanation of a row for the terminal: coloured text, a heat map in blocks, or bars.

        Raises:
            ValueError: The row has an error instead of an explanation.
        """
        from lmaas._heat import for_terminal

        return for_terminal(self.outputs[row], colour=colour)

    def _repr_html_(self) -> str:
        from lmaas._heat import for_notebook

        return "".join(for_notebook(output) for output in self.outputs)
