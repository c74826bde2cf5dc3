"""Memory of the documents that Envoy runs, for a control process that starts beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from puna_router.config import EndpointConfig
from puna_router.control.documents import Document
from puna_router.control.files import write

logger = logging.getLogger(__name__)


def remember(path: Path, documents: Mapping[str, Document]) -> None:
    """Write the documents down."""
    entries = {
        endpoint: {"digest": document.digest, "config": document.config.to_json()}
        for endpoint, document in documents.items()
        if document.config is not None
    }
    write(path, json.dumps(entries, sort_keys=True))


def recall(path: Path) -> dict[str, Document]:
    """The documents written down; none where there is no file, or one of another version."""
    try:
        entries = json.loads(path.read_text("utf-8"))
        return {
            endpoint: Document(
                endpoint=endpoint,
                digest=entry["digest"],
                config=EndpointConfig.model_validate_json(entry["config"]),
            )
            for endpoint, entry in entries.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        logger.warning(f"{path} is not used: {error!r}")
        return {}
