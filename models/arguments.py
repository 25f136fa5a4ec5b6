"""What a network is made of: the arguments of its constructor, which it remembers, and their bounds.

Sizes are bounded so that a description from elsewhere cannot build an enormous network. The bounds are annotations. A
constructor does not check them; `build_described` does, in `described.py`, before it calls the constructor.
"""

import functools
import inspect
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from annotated_types import Interval, Len
from torch import nn

MAX_CHANNELS = 4096  # the papers' networks have 1024 at most
MAX_UNITS, MAX_LAYERS, MAX_SIZE = 16384, 16, 1024  # units of a layer, hidden layers, pixels of a side
MAX_BLOCKS, MAX_DEPTH = 256, 12  # layers that keep the size of the maps, layers that halve it

Channels = Annotated[int, Interval(ge=1, le=MAX_CHANNELS)]  # of pictures, maps, noise and encoded conditions
Units = Annotated[int, Interval(ge=1, le=MAX_UNITS)]  # of a fully connected layer; classes, attributes, tokens
Widths = Annotated[Sequence[Units], Len(0, MAX_LAYERS)]  # units of the hidden layers, from the first to the last
Size = Annotated[int, Interval(ge=1, le=MAX_SIZE)]  # pixels of a side
Shape = tuple[Channels, Size, Size]  # channels, height and width of a picture
Blocks = Annotated[int, Interval(ge=0, le=MAX_BLOCKS)]
Halvings = Annotated[int, Interval(ge=1, le=MAX_DEPTH)]
Share = Annotated[float, Interval(ge=0, le=1)]

Network = TypeVar("Network", bound=nn.Module)


def remembers_arguments(network_class: type[Network]) -> type[Network]:
    """Decorates a class: each instance gets `constructor_arguments`, the arguments that it was made with by name,
    defaults included. Those of a subclass are the subclass's if it is decorated too, else the base class's."""
    construct = network_class.__init__
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def construct_and_remember(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        _, *arguments = bound.arguments.items()  # without self
        self.constructor_arguments = dict(arguments)

    network_class.__init__ = construct_and_remember
    return network_class
