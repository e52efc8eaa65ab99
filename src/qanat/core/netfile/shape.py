"""Errors of shape: what pydantic found, said in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from qanat.core.netfile.document import ID_PATTERN, NetworkDocument
from qanat.core.netfile.places import Path
from qanat.core.netfile.problems import near_miss

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_KINDS = {
    "string_type": "text in quotes",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def shape_problems(document: dict[str, object]) -> tuple[NetworkDocument | None, list[tuple[Path, str]]]:
    """The document in types, or None, with every error of shape as (path, message)."""
    try:
        return NetworkDocument.model_validate(document), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    return None, [(tuple(detail["loc"]), _message(detail)) for detail in details]


def _message(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        name = str(detail["loc"][-1])
        return f"no such key{near_miss(name, keys_at(tuple(detail['loc'][:-1])))}"
    shown = repr(detail["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    if kind in _KINDS:
        return f"{shown} is not {_KINDS[kind]}"
    context = detail.get("ctx", {})
    if kind == "string_pattern_mismatch" and context.get("pattern") == ID_PATTERN:
        return f"{shown} is no id: letters, digits, '.', '_' and '-', first a letter or digit, at most 63 characters"
    message = detail["msg"].removeprefix("Input should be ")
    return f"{shown} is out of range: must be {message}" if message != detail["msg"] else f"{shown}: {message}"


def keys_at(path: Path) -> list[str]:
    """The keys that may stand in the table at that path."""
    model: type[BaseModel] = NetworkDocument
    for part in path:
        if isinstance(part, str):
            model = _model_of(model, part)
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_of(model: type[BaseModel], name: str) -> type[BaseModel]:
    annotation = model.model_fields[name].annotation
    inner = getattr(annotation, "__args__", (annotation,))[0]
    assert isinstance(inner, type)
    assert issubclass(inner, BaseModel)
    return inner
