"""One question, or a conversation until the end of input."""

from __future__ import annotations

import sys

from puna_cli.chat.ask import ask
from puna_cli.errors import CommandError
from puna_cli.report import Report


def talk(
    url: str,
    model: str,
    prompt: str | None,
    report: Report,
    *,
    max_tokens: int | None = None,
    key: str | None = None,
) -> None:
    """Ask `prompt`; without one, each line of standard input, remembering what was said.

    Raises:
        CommandError: a single question was not answered.
    """

    def show(piece: str) -> None:
        report.console.print(piece, end="", markup=False, highlight=False, soft_wrap=True)

    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read()
    if prompt is not None:
        asked = [_message("user", prompt)]
        answer = ask(url, model, asked, show, max_tokens=max_tokens, key=key)
        report.line()
        report.line(f"[dim]{answer.measured.sentence()}[/dim]")
        return
    report.line(f"[dim]{model} at {url}; end with Ctrl-D[/dim]")
    messages: list[dict[str, str]] = []
    while (question := _question(report)) is not None:
        asked = [*messages, _message("user", question)]
        try:
            answer = ask(url, model, asked, show, max_tokens=max_tokens, key=key)
        except CommandError as error:
            report.text(str(error))
            continue
        report.line()
        report.line(f"[dim]{answer.measured.sentence()}[/dim]")
        messages = [*asked, _message("assistant", answer.text)]


def _question(report: Report) -> str | None:
    try:
        return report.console.input("[bold]> [/bold]") or None
    except (EOFError, KeyboardInterrupt):
        return None


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
