"""What tests look at and change in messages: small arrays, which travel in the record of the fields."""

from __future__ import annotations

from flwr.app import ConfigRecord, Message

KEYS = ("array.", "dtype.", "shape.")


def fields_of(message: Message) -> ConfigRecord:
    """The one record of a small message."""
    assert list(message.content) == ["fields"]
    record = message.content["fields"]
    assert isinstance(record, ConfigRecord)
    return record


def data_of(message: Message, name: str) -> bytes:
    """The bytes of an array."""
    data = fields_of(message)[f"array.{name}"]
    assert isinstance(data, bytes)
    return data


def replace_data(message: Message, name: str, data: bytes) -> None:
    """Put another row of bytes into an array's place."""
    record = fields_of(message)
    record[f"array.{name}"], record[f"shape.{name}"] = data, [len(data)]


def form_of(message: Message) -> tuple[dict[str, tuple[object, type]], dict[str, tuple[object, object, int]]]:
    """Fields with their types; and of each array its type, its shape and how many bytes it has."""
    record = fields_of(message)
    names = [key.removeprefix("array.") for key in record if key.startswith("array.")]
    arrays = {name: (record[f"dtype.{name}"], record[f"shape.{name}"], len(data_of(message, name))) for name in names}
    keys = {kind + name for kind in KEYS for name in names}
    return {key: (value, type(value)) for key, value in record.items() if key not in keys}, dict(arrays)
