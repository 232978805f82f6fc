"""Reading values into a frozen record: what its fields take, and plain words for what they refuse.

msgspec checks types and bounds. It is there in a tenth of the time of a library that builds its
validators at the start, for which every session would wait; but it stops at the first fault. So
what it refused is gone through again, to name every fault at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from ..errors import Finding, ParameterError, did_you_mean
from ..structs import msgspec
from .wording import BOUNDS, MUST_BE, join_path, shown

Record = TypeVar("Record", bound=msgspec.Struct)
Reader = Callable[[Any], Any]
_Path = tuple[str | int, ...]


class Field(NamedTuple):
    """One field of a record.

    Attributes:
        kind: its type as it was written.
        bare: its type without what is said about it.
        default: its value when none is given.
        read: what a given value goes through before its type is looked at; it may raise a
            `ParameterError`.
        schema: its JSON Schema, where the type does not say it.
    """

    kind: Any
    bare: Any
    default: Any
    read: Reader | None
    schema: Mapping[str, Any] | None


class _Fault(NamedTuple):
    path: _Path
    what: str
    fix: str
    given: Any


def says(description: str) -> msgspec.Meta:
    """What a field means, for people and editors."""
    return msgspec.Meta(description=description)


def read_by(read: Reader, schema: Mapping[str, Any] | None = None) -> msgspec.Meta:
    """Marks a type whose values go through `read` first; see `Field`."""
    return msgspec.Meta(extra={"read": read, "schema": schema})


def fields_of(record: type[msgspec.Struct]) -> dict[str, Field]:
    """The fields of a record all of whose fields have defaults."""
    usual = record()
    return {
        name: _field(kind, getattr(usual, name)) for name, kind in record.__annotations__.items()
    }


def _field(kind: Any, default: Any) -> Field:
    said: dict[str, Any] = {}
    for part in getattr(kind, "__metadata__", ()):
        said |= part.extra or {}
    bare = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    return Field(kind, bare, default, said.get("read"), said.get("schema"))


def read_record(
    values: Mapping[str, Any],
    record: type[Record],
    fields: Mapping[str, Field],
    place: Callable[[str], str] = lambda _: "",
) -> Record:
    """The record of `values`.

    Args:
        values: the value of each field that has one; a field's name → what JSON can hold.
        record: the class to make.
        fields: its fields.
        place: where the value of a field came from, for the words of an error.

    Raises:
        ParameterError: with every fault of every value.
    """
    try:
        return msgspec.convert({name: _read(v, fields[name]) for name, v in values.items()}, record)
    except (ParameterError, msgspec.ValidationError) as error:
        findings = list(_faults(values, fields, place))
        if not findings:
            raise ParameterError(f"The values cannot be used: {error}.") from error
    raise ParameterError.from_findings("The parameters cannot be used.", findings)


def _read(value: Any, field: Field) -> Any:
    return value if field.read is None else field.read(value)


def _faults(
    values: Mapping[str, Any], fields: Mapping[str, Field], place: Callable[[str], str]
) -> Iterator[Finding]:
    for name, value in values.items():
        try:
            read = _read(value, fields[name])
        except ParameterError as error:
            where = _where(place(name), (name,), value)
            yield Finding("error", error.code, error.message, where=where, fix=error.fix)
            continue
        for fault in _explain(read, msgspec.inspect.type_info(fields[name].kind), (name,)):
            words = f"{join_path(fault.path)} {fault.what}."
            where = _where(place(name), fault.path, fault.given)
            yield Finding("error", "parameter-invalid", words, where=where, fix=fault.fix)


def _where(place: str, path: _Path, value: Any) -> str:
    name = join_path(path)
    return ", ".join(filter(None, [place, f"{name}: {shown(value, name)}"]))


def _explain(value: Any, kind: msgspec.inspect.Type, path: _Path) -> Iterator[_Fault]:
    """Every way in which `value` is not of its kind."""
    known = msgspec.inspect
    if isinstance(kind, known.Metadata):
        yield from _explain(value, kind.type, path)
    elif isinstance(kind, known.UnionType):
        if value is not None:
            wanted = next(each for each in kind.types if not isinstance(each, known.NoneType))
            yield from _explain(value, wanted, path)
    elif isinstance(kind, known.LiteralType):
        if not isinstance(value, str) or value not in kind.values:
            choices = " or ".join(f"'{choice}'" for choice in kind.values)
            yield _Fault(path, f"must be {choices}", "Use one of these.", value)
    elif isinstance(kind, (known.FloatType, known.IntType)):
        yield from _explain_number(value, kind, path)
    elif isinstance(kind, known.StructType):
        yield from _explain_record(value, kind, path)
    else:
        yield from _explain_rest(value, kind, path)


def _explain_number(
    value: Any, kind: msgspec.inspect.FloatType | msgspec.inspect.IntType, path: _Path
) -> Iterator[_Fault]:
    whole = isinstance(kind, msgspec.inspect.IntType)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        wanted = "int_from_float" if isinstance(value, float) else "int" if whole else "float"
        yield _Fault(path, *MUST_BE[wanted], value)
        return
    for name, (words, holds) in BOUNDS.items():
        bound = getattr(kind, name)
        if bound is not None and not holds(value, bound):
            fix = "Give a number within the limit."
            yield _Fault(path, f"{words} {bound:g}", fix, value)
            return


def _explain_record(value: Any, kind: msgspec.inspect.StructType, path: _Path) -> Iterator[_Fault]:
    if not isinstance(value, dict):
        yield _Fault(path, *MUST_BE["dict"], value)
        return
    fields = {field.name: field for field in kind.fields}
    for name, item in value.items():
        if name in fields:
            yield from _explain(item, fields[name].type, (*path, name))
        elif kind.forbid_unknown_fields:
            fix = f"Use {', '.join(fields)}.{did_you_mean(name, fields)}"
            yield _Fault((*path, name), "is not known", fix, item)


def _explain_rest(value: Any, kind: msgspec.inspect.Type, path: _Path) -> Iterator[_Fault]:
    known = msgspec.inspect
    if isinstance(kind, known.ListType):
        if not isinstance(value, list):
            yield _Fault(path, *MUST_BE["list"], value)
            return
        for number, item in enumerate(value):
            yield from _explain(item, kind.item_type, (*path, number))
    elif isinstance(kind, known.DictType):
        if not isinstance(value, dict):
            yield _Fault(path, *MUST_BE["dict"], value)
            return
        for name, item in value.items():
            yield from _explain(item, kind.value_type, (*path, name))
    elif isinstance(kind, known.StrType) and not isinstance(value, str):
        yield _Fault(path, *MUST_BE["str"], value)
    elif isinstance(kind, known.BoolType) and not isinstance(value, bool):
        yield _Fault(path, *MUST_BE["bool"], value)
