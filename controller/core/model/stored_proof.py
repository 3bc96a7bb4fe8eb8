"""How a record keeps the way in which its actor was verified. (Apart from `Actor`, which loads without pydantic.)"""

from typing import Annotated

from pydantic import Field

from controller.core.model.actor import Proof

StoredProof = Annotated[Proof, Field(exclude_if=lambda proof: not proof)]
"""It is left out where nothing was verified, as in the records of versions before it."""
