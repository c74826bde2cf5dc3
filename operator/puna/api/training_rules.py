"""Rules of a TrainingJob's spec: what the API server refuses before anything is started.

The rest of what stands against a run is said by `puna_trainer.config.refusals`, in condition
Accepted.
"""

from __future__ import annotations

from typing import Final

from puna.api.resource import Rule

_IMMUTABLE: Final = {
    "task": False,
    "model": False,
    "dataset": False,
    "preparation": True,
    "stages": True,
    "hyperparameters": True,
    "checkpoint": True,
    "evaluation": True,
    "export": True,
    "output": False,
    "accelerator": False,
    "acceleratorCount": True,
    "nodes": True,
    "resources": True,
    "nodeSelector": True,
    "backoffLimit": True,
    "queueName": True,
}
"""Fields that stay as they were created, and whether each may be absent."""


def _immutable(field: str, *, optional: bool) -> Rule:
    same = f"self.{field} == oldSelf.{field}"
    if optional:
        same = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {same})"
    return Rule(
        same,
        "a run is what it was created as; create another TrainingJob, which may go on from the "
        "same output",
        f".{field}",
        "FieldValueForbidden",
    )


_SHAPE: Final = ("layers", "width", "heads", "contextLength", "vocabularySize")
_IS_LANGUAGE: Final = "self.task == 'LanguageModel'"
_HAS_SHAPE: Final = "has(self.model.width) && has(self.model.heads)"
_K_QUANTS: Final = "self.export.types.exists(type, type.endsWith('_K') || type.endsWith('_K_M'))"

SPEC_RULES: Final[tuple[Rule, ...]] = (
    *(_immutable(field, optional=optional) for field, optional in _IMMUTABLE.items()),
    Rule(
        "self.task != 'ImageClassification' || has(self.model.name)",
        "required for ImageClassification",
        ".model.name",
        "FieldValueRequired",
    ),
    Rule(
        f"!({_IS_LANGUAGE}) || !has(self.model.name)",
        "is for ImageClassification; a LanguageModel has a shape or a uri",
        ".model.name",
        "FieldValueForbidden",
    ),
    *(
        Rule(
            f"!({_IS_LANGUAGE}) || has(self.model.uri) || has(self.model.{field})",
            "required for a LanguageModel without model.uri",
            f".model.{field}",
            "FieldValueRequired",
        )
        for field in _SHAPE
    ),
    Rule(
        f"!({_HAS_SHAPE}) || self.model.width % self.model.heads == 0",
        "has to be a multiple of model.heads",
        ".model.width",
    ),
    Rule(
        f"!has(self.model.width) || !({_K_QUANTS}) || self.model.width % 256 == 0",
        "K-quants hold rows of 256 weights; use a multiple of 256",
        ".model.width",
    ),
    Rule(
        f"!has(self.model.feedForward) || !({_K_QUANTS}) || self.model.feedForward % 256 == 0",
        "K-quants hold rows of 256 weights; use a multiple of 256",
        ".model.feedForward",
    ),
    Rule(
        "self.task != 'ImageClassification' || self.export.types.all(type, type == 'safetensors')",
        "GGUF holds language models; use safetensors",
        ".export.types",
    ),
    Rule(
        "self.hyperparameters.batchSize % self.hyperparameters.accumulationSteps == 0",
        "has to be a divisor of batchSize",
        ".hyperparameters.accumulationSteps",
    ),
    Rule(
        "self.accelerator == 'cuda' || !has(self.acceleratorCount) || self.acceleratorCount == 1",
        "is for cuda alone",
        ".acceleratorCount",
    ),
    Rule(
        "self.accelerator != 'metal' || !has(self.nodes) || self.nodes == 1",
        "a run on metal has one node",
        ".nodes",
    ),
    Rule(
        "has(self.output.persistentVolumeClaim) != has(self.output.volumeClaimTemplate)",
        "needs either persistentVolumeClaim or volumeClaimTemplate",
        ".output",
    ),
    Rule(
        "!has(self.nodes) || self.nodes == 1 || !has(self.output.volumeClaimTemplate) || "
        "!has(self.output.volumeClaimTemplate.accessModes) || "
        "'ReadWriteMany' in self.output.volumeClaimTemplate.accessModes",
        "several nodes write to one volume; use ReadWriteMany",
        ".output.volumeClaimTemplate.accessModes",
    ),
    Rule(
        "!self.dataset.uri.startsWith('pvc://') || "
        "self.dataset.uri.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+$')",
        "expected pvc://<claim>/<path>",
        ".dataset.uri",
    ),
    Rule(
        "!self.dataset.uri.contains('/../') && !self.dataset.uri.endsWith('/..')",
        "the path must not contain '..'",
        ".dataset.uri",
    ),
    Rule(
        "has(self.dataset.sha256) || !self.dataset.uri.startsWith('http')",
        "required for http and https sources",
        ".dataset.sha256",
        "FieldValueRequired",
    ),
)
