"""What the configuration of every loss has."""

from pydantic import Field

from scprint2.config.node import Node


class LossNode(Node):
    """A term of the total: over which views it is summed, and its weight there."""

    views: list[str] = Field(min_length=1)
    weight: float = Field(ge=0)
