"""The base of every stored value, and the names and durations that values share."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from controller.core.base.units import parse_seconds

NAME = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
"""The pattern of names of services, versions and fleets."""


Seconds = Annotated[float, BeforeValidator(parse_seconds)]
"""A setting in seconds."""


class Value(BaseModel):
    """Base of everything that is stored: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
