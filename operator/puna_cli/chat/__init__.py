"""A conversation with an endpoint through any OpenAI-compatible address."""
