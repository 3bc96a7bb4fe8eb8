"""Trees of a configuration -> YAML that every parser reads alike."""

from collections.abc import Mapping
from typing import Any

import yaml


class Text(str):
    """A string that is always quoted: YAML parsers disagree about y, 1e3 or 0x1 without quotes."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Puts `Text` in quotes."""


_Dumper.add_representer(Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def to_yaml(part: Mapping[str, Any]) -> str:
    """Text of a part of a configuration."""
    return yaml.dump(part, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110)
