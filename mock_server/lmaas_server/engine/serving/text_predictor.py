"""A stored language model that answers: prompts in, texts out, whole or piece by piece. Knows no HTTP and no log."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lmaas.types import PredictionParameters
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import context_of
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.messages import Question, question_of
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.language_bundle import describe_language_bundle
from lmaas_server.engine.serving.decoding import decoder_of
from lmaas_server.engine.serving.generate import Generator
from lmaas_server.engine.serving.sampling import Sampling
from lmaas_server.engine.serving.writing import Writing
from lmaas_server.errors import InvalidError, ServiceError

if TYPE_CHECKING:
    from torch import nn

DEFAULT_TOKENS = 128
_BOUND = 64
"""Pieces that wait for the reader of a stream before its text waits for it."""


class TextPredictor:
    """A language model that answers; requests of any number of threads are written together."""

    def __init__(self, directory: Path) -> None:
        about = describe_language_bundle(directory)
        network = causal_lm.load(directory)
        self.task = str(about["task"])
        self.input: Json = about["input"]
        self.target: Json = about["target"]
        self.parameters = int(about["parameters"])
        self.tokens = Tokens.load(directory)
        self._directory = directory
        decoder = decoder_of(network)
        self.classes: list[int | str] = []
        self.bytes = decoder.nbytes
        self._form = str(self.input.get("form", ""))
        context = context_of(network.config.to_dict())  # type: ignore[union-attr, operator]  # of a Module torch says Tensor or Module
        self._generator = Generator(decoder, self.tokens, context=context)

    def __repr__(self) -> str:
        return f"TextPredictor({self.parameters:,} parameters, {self._generator!r})"

    @classmethod
    def load(cls, directory: Path) -> TextPredictor:
        """Load the model whose bundle lies in `directory`."""
        return cls(directory)

    @cached_property
    def network(self) -> nn.Module:
        """The network as it was learned, for what follows gradients; loaded when it is first asked for."""
        return causal_lm.load(self._directory).eval().requires_grad_(requires_grad=False)

    def warm(self) -> None:
        """Write one token, so that the first real one meets allocated memory and chosen kernels."""
        self.answer([{"prompt": "a"}], PredictionParameters(max_tokens=1, temperature=0.0))

    @property
    def by_rows(self) -> None:
        """None: texts are written together word by word, not computed at once."""

    def answer(self, rows: Array | Sequence[Any], parameters: PredictionParameters) -> list[Json]:
        """Return one output per row, written together: `{text, finish_reason, ...}`, or `{error: {code, message}}`.

        Raises:
            InvalidError: `parameter_mismatch`: a parameter is not for texts.
        """
        begun = [self._begun(row, index, parameters, bound=None) for index, row in enumerate(rows)]
        return [self.output(item) if isinstance(item, Writing) else _failed(item) for item in begun]

    def stream(self, rows: Array | Sequence[Any], parameters: PredictionParameters) -> list[Writing]:
        """Begin a text for each row, to be read piece by piece; every row must be right.

        Raises:
            InvalidError: a row cannot be answered, or a parameter is not for texts.
        """
        begun = [self._begun(row, index, parameters, bound=_BOUND) for index, row in enumerate(rows)]
        if error := next((item for item in begun if isinstance(item, ServiceError)), None):
            for item in begun:
                if isinstance(item, Writing):
                    item.close()
            raise error
        return [item for item in begun if isinstance(item, Writing)]

    def output(self, writing: Writing) -> Json:
        """Wait for the end of a text and return it as an output."""
        found: Json = {
            "text": writing.wait(),
            "finish_reason": writing.finish_reason,
            "prompt_tokens": len(writing.prompt),
            "completion_tokens": len(writing.tokens),
        }
        if writing.sampling.logprobs is not None:
            found["logprobs"] = [
                {
                    "token": self.tokens.word(chance.token),
                    "logprob": chance.logprob,
                    "top": [{"token": self.tokens.word(token), "logprob": value} for token, value in chance.top],
                }
                for chance in writing.chances
            ]
        return found

    def predict(
        self, rows: Array | Sequence[Any], *, top_k: int | None = None, probabilities: bool = False
    ) -> list[Json]:
        """Return one output per row, as `answer` does with every other parameter left out."""
        return self.answer(rows, PredictionParameters(top_k=top_k, probabilities=probabilities))

    def arrays(self, rows: object) -> NoReturn:  # noqa: ARG002 - every predictor has it
        """Refuse: texts are no numbers."""
        raise InvalidError(
            "a language model answers with texts; ask for application/json", code="no_arrays", param="accept"
        )

    def compute(self, rows: object) -> NoReturn:
        """Refuse, as `arrays` does."""
        self.arrays(rows)

    def prompt_of(self, row: Any, index: int) -> list[int]:
        """Return the tokens that a row asks with.

        Raises:
            InvalidError: it is no question; the row is named.
        """
        place = f"inputs[{index}]"
        try:
            return self._prompt(question_of(row, place, form=self._form))
        except InvalidError as exc:
            raise InvalidError(f"row {index}: {exc.message}", code=exc.code, param=exc.param or place) from exc

    def _begun(
        self, row: Any, index: int, parameters: PredictionParameters, *, bound: int | None
    ) -> Writing | ServiceError:
        if parameters.probabilities:
            raise InvalidError(
                "`probabilities` are of classes; of a text ask for `logprobs`",
                code="parameter_mismatch",
                param="parameters.probabilities",
            )
        place = f"inputs[{index}]"
        try:
            prompt = self._prompt(question_of(row, place, form=self._form))
            return self._generator.begin(prompt, self._sampling(parameters, index, len(prompt)), bound=bound)
        except InvalidError as exc:
            return InvalidError(f"row {index}: {exc.message}", code=exc.code, param=exc.param or place)

    def _prompt(self, question: Question) -> list[int]:
        if question.messages is not None:
            return self.tokens.encode_question(question.messages)
        return self.tokens.encode(question.text or "")

    def _sampling(self, parameters: PredictionParameters, index: int, prompt: int) -> Sampling:
        room = max(1, self._generator.context - prompt)
        # Rows of one request that share a seed are to differ where their prompts do not.
        seed = secrets.randbits(62) if parameters.seed is None else parameters.seed + index
        return Sampling(
            max_tokens=min(parameters.max_tokens or DEFAULT_TOKENS, room),
            temperature=1.0 if parameters.temperature is None else parameters.temperature,
            top_k=parameters.top_k,
            top_p=parameters.top_p,
            stop=parameters.stop,
            seed=seed,
            logprobs=parameters.logprobs,
        )


def _failed(error: ServiceError) -> Json:
    return {"error": {"code": error.code, "message": error.message}}
