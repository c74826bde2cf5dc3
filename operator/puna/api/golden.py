"""Golden prompts: what a new revision is asked before its first request, and which answers pass."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.resource import LocalObjectReference, Model, Rule, SecretKeyReference

Text = Annotated[str, Field(min_length=1, max_length=1024)]


class MessageRole(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(Model):
    """One message of a chat."""

    role: MessageRole
    """Who says it."""
    content: Annotated[str, Field(max_length=4096)]
    """What is said."""


class Expected(Model):
    """What an answer has to be; exactly one of these."""

    contains: Text | None = None
    """Text that stands somewhere in the answer, upper and lower case told apart."""
    matches: Text | None = None
    """Regular expression (RE2) that is found somewhere in the answer."""
    equals: Text | None = None
    """The whole answer, but for white space around it."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.contains), has(self.matches), has(self.equals)]"
            ".filter(is_set, is_set).size() == 1",
            "set one of contains, matches and equals",
        ),
        # An expression that cannot be read is an error of the rule, which refuses it as well.
        Rule(
            "!has(self.matches) || ''.matches(self.matches) in [true, false]",
            "expected a regular expression in the syntax of RE2",
            ".matches",
        ),
    )


class GoldenPrompt(Model):
    """One prompt and what its answer has to be.

    Asked with the revision's own sampling and system prompt, as the router would fill them in.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    """Name, told where the answer is not right."""
    prompt: Annotated[str, Field(min_length=1, max_length=8192)] | None = None
    """Text that the model continues (`/v1/completions`)."""
    messages: Annotated[tuple[Message, ...], Field(max_length=16)] = ()
    """Instead of a prompt: a chat that the model answers (`/v1/chat/completions`)."""
    expected: Expected | None = None
    """What the answer has to be."""
    rubric: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """What the judge scores the answer by; needs `judge`."""
    max_tokens: Annotated[int, Field(ge=1, le=2048)] = 64
    """Longest answer in tokens."""
    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Spread of the distribution; 0 always takes the likeliest token."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] = 0
    """Seed of the sampler."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """Longest wait for the answer, and for its score, before it is asked for again."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.prompt) != (has(self.messages) && self.messages.size() > 0)",
            "set prompt or messages",
            ".prompt",
        ),
        Rule(
            "has(self.expected) || has(self.rubric)",
            "set expected, or rubric for a judge",
            ".expected",
            "FieldValueRequired",
        ),
    )


class Judge(Model):
    """A model that scores answers from 0 to 10."""

    endpoint_ref: LocalObjectReference
    """LLMEndpoint of the same namespace that is asked, through the namespace's router."""
    api_key_secret_ref: SecretKeyReference | None = None
    """API key for it, where it asks for one (`spec.access`)."""
    min_score: Annotated[int, Field(ge=1, le=10)] = 7
    """Lowest score of an answer that counts as right."""
