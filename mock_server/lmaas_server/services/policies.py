"""What a deployment does of its own accord, as it is stored and read: update policies and guards. Knows no HTTP."""

from __future__ import annotations

from functools import cache

from lmaas.types import DeploymentUpdate, GuardSpec, UpdatePolicySpec
from lmaas_server.errors import InvalidError
from lmaas_server.records import DeploymentRecord, Json

__all__ = ["changed_policies", "guard_of", "policy_of", "stored_guard", "stored_policy"]


def stored_policy(spec: UpdatePolicySpec | None) -> Json | None:
    """Return a policy as it is kept.

    Raises:
        InvalidError: `policy_invalid`: nothing in it ever starts an update, or its parts do not go together.
    """
    if spec is None:
        return None
    if spec.min_feedback is None and spec.every_seconds is None and not spec.on_drift:
        message = (
            "This policy never starts an update: give `min_feedback`, `every_seconds` or `on_drift: true`; "
            "null takes a policy away."
        )
        raise InvalidError(message, code="policy_invalid", param="update_policy")
    if spec.canary_share is not None and spec.promote != "canary":
        message = f"`canary_share` is of `promote: canary`, and this is {spec.promote!r}; leave it out."
        raise InvalidError(message, code="policy_invalid", param="update_policy.canary_share")
    return spec.model_dump(mode="json")


def stored_guard(spec: GuardSpec | None) -> Json | None:
    """Return a guard as it is kept; nothing of one that is as by default."""
    return None if spec is None else spec.model_dump(mode="json")


def changed_policies(request: DeploymentUpdate) -> Json:
    """Return the fields that a change of a deployment names; those it says nothing of stay.

    Raises:
        InvalidError: `policy_invalid`.
    """
    fields: Json = {}
    if "update_policy" in request.model_fields_set:
        fields["update_policy"] = stored_policy(request.update_policy)
    if "guard" in request.model_fields_set:
        fields["guard"] = stored_guard(request.guard)
    return fields


def policy_of(record: DeploymentRecord) -> UpdatePolicySpec | None:
    """Return the policy of a deployment; None if it has none."""
    return None if record.update_policy is None else UpdatePolicySpec.model_validate(record.update_policy)


def guard_of(record: DeploymentRecord) -> GuardSpec:
    """Return the guard of a deployment, by default if it was given none."""
    return _default() if record.guard is None else GuardSpec.model_validate(record.guard)


@cache
def _default() -> GuardSpec:
    return GuardSpec()
