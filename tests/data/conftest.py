"""A small, valid data directory that tests change one file at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

INTERACTIONS = """user,item,rating,timestamp
ann,a,5,100
ann,b,4,300
ann,c,3,200
bob,c,1,50
bob,a,2,60
bob,d,5,70
bob,b,4,80
"""
ITEMS = """item,title,genres,text,price,brand,attr_fit,num_grams,text_source,n_inter
a,Apple,Fruit|Red,"A round, red fruit",1.5,Orchard,,120,wiki,2
b,Bread,Bakery,Baked daily,3,,loose,500,wiki,2
c,Cheese,Dairy| Hard |Hard,,x,Dale,,,none,2
d,Dates,Fruit,Sweet,,,,,wiki,1
"""

WriteDirectory = Callable[..., Path]


@pytest.fixture
def write_directory(tmp_path: Path) -> WriteDirectory:
    """Write the directory; a keyword such as ``notes_csv`` replaces or adds that file (None leaves it out)."""

    def write(**files: str | bytes | None) -> Path:
        directory = tmp_path / "set"
        directory.mkdir(exist_ok=True)
        contents: dict[str, str | bytes | None] = {"interactions_csv": INTERACTIONS, "items_csv": ITEMS, **files}
        for name, content in contents.items():
            if content is not None:
                raw = content if isinstance(content, bytes) else content.encode("utf-8")
                (directory / name.replace("_csv", ".csv")).write_bytes(raw)
        return directory

    return write
