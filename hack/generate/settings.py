"""The page of the operator's settings: variables as `Settings.from_env` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hack.generate.markdown import NOTE, code, table
from puna.api.docstrings import member_docstrings
from puna.settings import AcceleratorProfile, RouterSettings, Settings
from puna.variables import PREFIX

INTRODUCTION: Final = """\
The operator is configured by environment variables alone; the chart sets them from its values.
A variable that cannot be used ends the operator at its start with a message that names it.
"""
ACCELERATORS: Final = """\
`PUNA_ACCELERATORS` is a JSON object whose keys are accelerators (`cpu`, `metal`, `cuda`) and whose
values replace members of the built-in profile, for example `{"cuda": {"runtimeClass": "nvidia"}}`.
"""


class _Recorder(Mapping[str, str]):
    """An environment without variables that remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> str:
        self.asked.append(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def variables() -> dict[str, tuple[str, str]]:
    """Return default and meaning of every variable, in the order of reading."""
    recorder = _Recorder()
    defaults = Settings.from_env(recorder)
    return {name: _describe(name, defaults) for name in dict.fromkeys(recorder.asked)}


def settings_page() -> str:
    """Return the page of settings."""
    rows = [
        (code(name), code(default), meaning) for name, (default, meaning) in variables().items()
    ]
    members = [
        (code(_camel(name)), text) for name, text in member_docstrings(AcceleratorProfile).items()
    ]
    return "\n".join(
        [
            f"{NOTE}\n# Settings of the operator\n",
            INTRODUCTION,
            table(("variable", "default", "meaning"), rows),
            f"## Accelerators\n\n{ACCELERATORS}",
            table(("member", "meaning"), members),
        ]
    )


def _describe(variable: str, defaults: Settings) -> tuple[str, str]:
    name = variable.removeprefix(PREFIX).lower()
    for owner, attribute in (
        (defaults, name),
        (defaults.router, name),
        (defaults.router, name.removeprefix("router_")),
    ):
        if hasattr(owner, attribute):
            texts = member_docstrings(Settings if owner is defaults else RouterSettings)
            return _shown(getattr(owner, attribute)), texts[attribute]
    raise LookupError(f"{variable} is read by Settings.from_env but is no field of Settings")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    if value is None or isinstance(value, Mapping):
        return ""
    return str(value)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
