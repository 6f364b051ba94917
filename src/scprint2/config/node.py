"""The base class of every configuration node."""

from pydantic import BaseModel, ConfigDict


class Node(BaseModel):
    """One mapping of an experiment: unknown keys are refused, values are frozen, and there are no defaults.

    A component's configuration derives from this class and names itself by `kind: Literal["..."]`; the typed union at the
    end of a slot's module is the registry of that slot.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
