"""Base models as people see them: what there is, and why some of it is not used. Knows no HTTP and no torch."""

from __future__ import annotations

from lmaas.types import BaseModelInfo
from lmaas_server.engine.base_models import BaseModels
from lmaas_server.errors import MissingError, ServiceError

__all__ = ["PretrainedService"]


class PretrainedService:
    """Looks at the directories of base models."""

    def __init__(self, base_models: BaseModels) -> None:
        self._base_models = base_models

    def __repr__(self) -> str:
        return f"PretrainedService({self._base_models!r})"

    def all(self) -> list[BaseModelInfo]:
        """Return every base model in alphabetical order, also those that are refused."""
        return [self.get(name) for name in self._base_models.names()]

    def get(self, name: str) -> BaseModelInfo:
        """Return one base model; one that is refused says why.

        Raises:
            MissingError: `base_model_not_found`.
        """
        changed = self._base_models.changed_at(name)
        try:
            found = self._base_models.get(name)
        except MissingError:
            raise
        except ServiceError as exc:
            error = {"code": exc.code, "message": exc.message}
            return BaseModelInfo(id=name, created_at=changed, usable=False, error=error)
        return BaseModelInfo(
            id=name,
            created_at=changed,
            usable=True,
            model_type=found.model_type,
            parameters=found.parameters,
            bytes=found.bytes,
            context=found.context,
            vocabulary=found.vocabulary,
            chat=found.chat,
        )
