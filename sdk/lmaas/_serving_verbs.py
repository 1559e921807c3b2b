"""The verbs about a version that is trained: deploy, predict, stream, explain. Knows no transport and no settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Unpack

from lmaas import resources, types
from lmaas._flow import DriverT, Resource, endpoint
from lmaas._request import CallOptions, Flow
from lmaas._stream import EmitFlow
from lmaas._text_stream import writing
from lmaas.resources._deploying import GuardLike, Policy, Variants, made_ready
from lmaas.resources._ids import READY_TIMEOUT, DeploymentRef, ModelRef


class ServingVerbs(Resource[DriverT], Generic[DriverT]):
    """Deploy, predict, stream, explain: what is asked of a version once it is trained."""

    @endpoint
    def deploy(
        self,
        model: ModelRef | None = None,
        *,
        name: str,
        variants: Variants | None = None,
        batching: types.BatchingSpec | dict[str, Any] | None = None,
        update_policy: Policy | None = None,
        guard: GuardLike | None = None,
        metadata: dict[str, str] | None = None,
        reason: str | None = None,
        ready_timeout: float | None = READY_TIMEOUT,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Serve a version under a name and return once it is ready; a name that serves already gets a new revision.

        Args:
            model: The version, its id, or the job that made it.
            name: Of the deployment.
            variants: Instead of `model`: several versions that share the traffic by weight.
            batching: How requests may be computed together.
            update_policy: When it learns from feedback of its own accord: `UpdatePolicySpec(min_feedback=100)`, or
                `every_seconds=`, or `on_drift=True`; omitted, never, or as it was.
            guard: When a canary is taken back: `GuardSpec(max_p99_ms=50)`; omitted, by the defaults, or as it was.
            metadata: Up to 32 free words stored with it.
            reason: Why, for the history of revisions.
            ready_timeout: Seconds to wait for it; None for as long as it takes.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            DeploymentFailedError: It did not become ready; the message tells why.
            NotFoundError: There is no such version.
        """
        return made_ready(
            name,
            model=model,
            variants=variants,
            batching=batching,
            update_policy=update_policy,
            guard=guard,
            metadata=metadata,
            reason=reason,
            ready_timeout=ready_timeout,
            options=options,
        )

    @endpoint
    def predict(
        self,
        deployment: DeploymentRef,
        inputs: Any,
        *,
        top_k: int | None = None,
        probabilities: bool = False,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
        user: str | None = None,
        store: bool = True,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Prediction]:
        """Predict rows; `.labels`, `.scores`, `.values` and `.texts` hold the answers, one per row.

        A row that cannot be predicted has an `error` in its place, and its neighbours succeed.

        Args:
            deployment: The deployment or its name.
            inputs: Rows of the shape the model was trained on: an array (n, ...), a tensor, a data frame, a list of
                rows; of pictures PNG or JPEG files and of sound WAV files, as bytes or Path; of language models prompts
                as strings, or `{"messages": [...]}`.
            top_k: Add the k likeliest classes of each row; of texts, keep the k likeliest tokens.
            probabilities: Add the probability of every class.
            max_tokens: Of texts: how long an answer may become; omitted, 128 tokens.
            temperature: Of texts: 0 takes the likeliest token every time; omitted, 1.
            top_p: Of texts: keep the likeliest tokens that together have this probability.
            stop: Of texts: the answer ends before this string, or the first of these.
            seed: Of texts: the same seed draws the same answer.
            logprobs: Of texts: add the log-probability of every token, and of so many likeliest in its place.
            user: Whose request this is; the same user meets the same variant.
            store: Keep the inputs, so that feedback can be learned from.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            InvalidRequestError: There are no rows; nothing was sent.
            UnprocessableEntityError: No row has the model's shape, or every prompt is longer than its context.
        """
        parameters = resources.predictions.parameters_of(
            top_k=top_k,
            probabilities=probabilities,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            stop=stop,
            seed=seed,
            logprobs=logprobs,
        )
        return resources.predictions.predicted(
            deployment, inputs, parameters=parameters, user=user, store=store, options=options
        )

    @writing
    def stream(
        self,
        deployment: DeploymentRef,
        prompt: str | Sequence[dict[str, str]] | dict[str, Any],
        *,
        top_k: int | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
        user: str | None = None,
        store: bool = True,
        **options: Unpack[CallOptions],
    ) -> EmitFlow[str]:
        """Have a language model answer one prompt, and read the text while it is written.

        Use it as a context manager and iterate over the pieces; leaving it stops the work on the server. Afterwards
        `.prediction` is the answer as a whole, for feedback.

        Args:
            deployment: The deployment or its name.
            prompt: A text, or a conversation as a list of messages, `{"role": ..., "content": ...}`.
            top_k: Keep the k likeliest tokens.
            max_tokens: How long an answer may become; omitted, 128 tokens.
            temperature: 0 takes the likeliest token every time; omitted, 1.
            top_p: Keep the likeliest tokens that together have this probability.
            stop: The answer ends before this string, or the first of these.
            seed: The same seed draws the same answer.
            logprobs: Add the log-probability of every token, and of so many likeliest in its place.
            user: Whose request this is; the same user meets the same variant.
            store: Keep prompt and answer, so that feedback can be learned from.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            UnprocessableEntityError: The prompt is empty or longer than the model's context.
            APIConnectionError: The stream broke off.
        """
        parameters = resources.predictions.parameters_of(
            top_k=top_k,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            stop=stop,
            seed=seed,
            logprobs=logprobs,
        )
        return resources.predictions.streamed(
            deployment, prompt, parameters=parameters, user=user, store=store, options=options
        )

    @endpoint
    def explain(
        self,
        deployment: DeploymentRef,
        inputs: Any,
        *,
        target: types.Label | None = None,
        method: types.ExplanationMethod | None = None,
        user: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Explanation]:
        """Explain answers: how much each pixel, frame, word, column or number has to do with them.

        Of a language model what is explained is the token that follows a prompt, by the prompt's tokens.

        `explanation[0].attributions` is shaped like the row, `explanation.plot()` draws it (`lmaas[plot]`), and
        `print(explanation.text())` shows it in the terminal.

        Args:
            deployment: The deployment or its name.
            inputs: Rows as for `predict`, up to 64.
            target: The class to explain, the index of the value, or the token a prompt goes on with; omitted, the
                likeliest class or token of each row.
            method: "integrated_gradients" (the default: what the parts get adds up), "saliency" or "occlusion".
            user: Whose request this is; the same user meets the same variant.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            InvalidRequestError: There are no rows, or an argument is wrong; nothing was sent.
            UnprocessableEntityError: There is no such class, no row can be predicted, or the model is none that can be
                explained.
        """
        return resources.explanations.explained(
            deployment, inputs, target=target, method=method, user=user, options=options
        )
