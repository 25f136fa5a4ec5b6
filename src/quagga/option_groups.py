"""Groups of options: dataclasses that several functions take, and whose fields are typed one by one.

    def build(networks: TranslationNetworks, adversary: Adversary, *, lambda_cycle: float = 10.0) -> CycleGAN: ...

A parameter whose type is a dataclass is a group. Its fields are options of the function like all others, `--width 4`,
so no two may have the same name. A function that wants other defaults gives the group a default, and one that cannot
take all values of a `Literal` states those that it takes:

    networks: Annotated[SamplingNetworks, Choices(norm=("batch", "none"))] = SamplingNetworks(z_size=64)

`flat_parameters` says which options a function takes; `call_flat` calls it with their values.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from quagga.errors import BadInput

ReturnedT = TypeVar("ReturnedT")


class Choices:
    """Option -> the values of its `Literal` that a function takes, in the order in which the help shows them."""

    def __init__(self, **choices: Sequence[str]):
        self.choices = choices


class Group(NamedTuple):
    """A parameter whose type is a dataclass.

    Attributes:
        name: of the parameter.
        type: the dataclass.
        default: an object of it, or `Parameter.empty`.
        choices: option -> the values that the function takes, where it does not take all.
    """

    name: str
    type: type
    default: Any
    choices: Mapping[str, Sequence[str]]

    def parameters(self) -> dict[str, Parameter]:
        """Returns the fields as parameters of the function, with its defaults and choices.

        Raises:
            BadInput: a choice is not one of the dataclass's.
        """
        found = flat_parameters(self.type)
        for name, values in self.choices.items():
            known = get_args(found[name].annotation) if name in found else ()
            if not set(values) <= set(known):
                raise BadInput(f"the choices {', '.join(values)} of {name} are not among those of {self.type.__name__}")
            found[name] = found[name].replace(annotation=_literal(values))
        if self.default is not Parameter.empty:
            for name, field in found.items():
                found[name] = _with_default(field, getattr(self.default, name))
        return found

    def make(self, options: Mapping[str, Any]) -> Any:
        """Returns an object of the dataclass. Raises BadInput if a value is none of the function's choices."""
        for name in self.choices.keys() & options.keys():
            if options[name] not in self.choices[name]:
                raise BadInput(f"--{name} should be one of {', '.join(self.choices[name])}, not {options[name]}")
        return self.type(**options) if self.default is Parameter.empty else dataclasses.replace(self.default, **options)


def groups_of(function: Callable[..., Any]) -> list[Group]:
    """Returns the groups of options that a function or class takes."""
    hints, groups = get_type_hints(function, include_extras=True), []
    for name, parameter in signature(function).parameters.items():
        hint = hints.get(name)
        annotated, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        if isinstance(annotated, type) and dataclasses.is_dataclass(annotated):
            choices = next((note.choices for note in notes if isinstance(note, Choices)), {})
            groups.append(Group(name, annotated, parameter.default, choices))
    return groups


def flat_parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    """Returns the options that a function or class takes: its parameters, with the fields of a group in its place.

    Their annotations are types, also where the function writes them as text; untyped ones have `Any`. Their defaults
    are values, also where a dataclass makes them anew for each object.

    Raises:
        BadInput: two groups, or a group and the function itself, state an option of the same name.
        NameError: a type is not there.
    """
    hints, groups = get_type_hints(function), {group.name: group for group in groups_of(function)}
    found: dict[str, Parameter] = {}
    stated_by: dict[str, str] = {}
    for name, parameter in signature(function).parameters.items():
        if name in groups:
            owner, own = groups[name].type.__name__, groups[name].parameters()
        else:
            hint, default = hints.get(name, Any), _default(function, parameter)
            owner, own = (
                getattr(function, "__name__", repr(function)),
                {name: parameter.replace(annotation=hint, default=default)},
            )
        for option in own:
            if option in found:
                raise BadInput(
                    f"both {stated_by[option]} and {owner} state the option {option}: call it differently in one"
                )
            stated_by[option] = owner
        found |= own
    return found


def call_flat(function: Callable[..., ReturnedT], /, **options: Any) -> ReturnedT:
    """Calls a function with options, which it may take in groups: `call_flat(cyclegan.build, width=4)`.

    Raises:
        BadInput: as `flat_parameters`; or a value is none of the function's choices, or none that a group can take.
        TypeError: an option is missing, or none of the function's.
    """
    parameters = flat_parameters(function)
    takes_all = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    if not takes_all and (unknown := [name for name in options if name not in parameters]):
        raise TypeError(f"{getattr(function, '__name__', function)} takes no option {unknown[0]}")
    grouped = {}
    for group in groups_of(function):
        names = flat_parameters(group.type).keys() & options.keys()
        grouped[group.name] = group.make({name: options.pop(name) for name in names})
    return function(**grouped, **options)


def add_arguments(parser: Any, parameters: Mapping[str, Parameter]) -> None:
    """Adds options to a parser.

    Args:
        parser: of jsonargparse, which takes a fifth of a second to import: who calls this has done so.
        parameters: of `flat_parameters`.
    """
    for name, parameter in parameters.items():
        required = parameter.default is Parameter.empty
        about_default = {"required": True} if required else {"default": parameter.default}
        parser.add_argument(f"--{name}", type=parameter.annotation, **about_default)


def _default(function: Callable[..., Any], parameter: Parameter) -> Any:
    """The default of a parameter, which a dataclass may make anew for each object."""
    field = getattr(function, "__dataclass_fields__", {}).get(parameter.name)
    return field.default_factory() if field and callable(field.default_factory) else parameter.default


def _with_default(parameter: Parameter, default: Any) -> Parameter:
    """Another default; of a `Literal` it becomes the first value, which the help shows first."""
    hint = parameter.annotation
    if default != parameter.default and get_origin(hint) is Literal:
        hint = _literal([default, *(value for value in get_args(hint) if value != default)])
    return parameter.replace(annotation=hint, default=default)


def _literal(values: Sequence[Any]) -> Any:
    return cast(Any, Literal)[tuple(values)]


def is_ours(owner: Callable[..., Any]) -> bool:
    """Returns whether a function or class that takes options belongs to Quagga, not to a user's own pipeline."""
    return owner.__module__.partition(".")[0] == "quagga"
