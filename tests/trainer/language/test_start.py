"""Runs that start from a folder: what they cannot export is said at once, what is new is seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from puna_trainer.config.output import StageName
from puna_trainer.config.run import Run, Task
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.files import read_json
from puna_trainer.progress import Result
from puna_trainer.stages import STAGES
from tests.trainer.language.runs import language_run, source_of
from tests.trainer.language.starts import write_model
from tests.trainer.processes import carried_out

WITHOUT_EXPORT = [{"name": name} for name in ("data", "pretrain", "evaluate")]


def run_of(
    folder: Path,
    *,
    start: Path | None = None,
    types: tuple[str, ...] = ("safetensors",),
    **changed: Any,
) -> Run:
    """A run over texts that starts from a folder."""
    return language_run(
        folder / "output",
        model={"uri": f"file://{start or folder / 'start'}"},
        dataset={"uri": f"file://{source_of(folder)}", "format": "jsonl", "validationPercent": 30},
        export={"types": types},
        **changed,
    )


def ended(run: Run) -> Result:
    carried_out(run)
    return Result.model_validate(read_json(Path(run.output_directory) / "result.json"))


def test_a_shape_that_no_k_quant_holds_is_refused_before_the_data_are_read(tmp_path: Path) -> None:
    write_model(tmp_path / "start")
    result = ended(run_of(tmp_path, types=("F16", "Q4_K_M")))
    assert (result.reason, result.done) == (FailureReason.BAD_CONFIG, ())
    assert "model.uri: model.width: 32 is no multiple of 256, which Q4_K_M needs" in result.message
    assert not (tmp_path / "output" / "data").exists()


def test_a_tokenizer_that_llama_cpp_has_no_name_for_is_refused_before_the_data_are_read(
    tmp_path: Path,
) -> None:
    write_model(tmp_path / "start")
    file = tmp_path / "start" / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(tokenizer | {"pre_tokenizer": {"type": "Whitespace"}}))
    result = ended(run_of(tmp_path))
    assert (result.reason, result.done) == (FailureReason.BAD_CONFIG, ())
    assert "model.uri: the tokenizer splits text (Whitespace)" in result.message


def test_a_run_that_exports_nothing_may_start_from_it(tmp_path: Path) -> None:
    write_model(tmp_path / "start")
    run = run_of(tmp_path, types=("Q4_K_M",), stages=WITHOUT_EXPORT[:1])
    assert carried_out(run) == Exit.DONE


def test_new_weights_under_the_same_address_are_learned_from(tmp_path: Path) -> None:
    write_model(tmp_path / "start")
    run = run_of(tmp_path, stages=WITHOUT_EXPORT, hyperparameters={"maxSteps": 2})
    log = tmp_path / "output" / "logs" / "log.jsonl"
    assert carried_out(run) == Exit.DONE
    first = log.read_text(encoding="utf-8")
    assert carried_out(run) == Exit.DONE
    assert log.read_text(encoding="utf-8") == first
    write_model(tmp_path / "start", seed=5)
    assert carried_out(run) == Exit.DONE
    assert log.read_text(encoding="utf-8") != first


@pytest.mark.parametrize("stages", [(), ("data", "pretrain", "export")])
def test_another_start_brings_its_own_tokenizer(tmp_path: Path, stages: tuple[str, ...]) -> None:
    write_model(tmp_path / "start")
    run = run_of(
        tmp_path, stages=[{"name": name} for name in stages], hyperparameters={"maxSteps": 2}
    )
    first = ended(run)
    assert first.exit_code == Exit.DONE, first.message
    write_model(tmp_path / "start", tokens=280)
    second = ended(run)
    (exported,) = second.artifacts
    written = tmp_path / "output" / exported.path / "tokenizer.json"
    assert written.read_bytes() == (tmp_path / "start" / "tokenizer.json").read_bytes()
    assert first.hashes
    assert second.hashes
    assert first.hashes.tokenizer != second.hashes.tokenizer
    log = (tmp_path / "output" / "logs" / "log.jsonl").read_bytes()
    assert ended(run) == second
    assert (tmp_path / "output" / "logs" / "log.jsonl").read_bytes() == log


def test_a_run_that_learns_nothing_is_about_the_model_that_it_names(tmp_path: Path) -> None:
    write_model(tmp_path / "start")
    learned = ended(run_of(tmp_path, hyperparameters={"maxSteps": 2}))
    assert learned.exit_code == Exit.DONE, learned.message
    stages = [{"name": "data"}, {"name": "evaluate"}, {"name": "export"}]
    write_model(tmp_path / "start", seed=5, tokens=280)
    named = ended(run_of(tmp_path, stages=stages))
    fresh = ended(run_of(tmp_path / "fresh", stages=stages, start=tmp_path / "start"))
    assert named.exit_code == fresh.exit_code == Exit.DONE, fresh.message
    assert named.metrics == fresh.metrics != learned.metrics
    digests = [{each.sha256 for each in one.artifacts} for one in (learned, named, fresh)]
    assert digests[0] != digests[1] == digests[2]
    attestation = read_json(tmp_path / "output" / named.artifacts[0].path / "attestation.json")
    assert "checkpoint" not in attestation


@pytest.mark.parametrize("stages", [("data", "pretrain"), ("export",)])
def test_weights_of_another_shape_than_the_folder_says_are_refused(
    tmp_path: Path, stages: tuple[str, ...]
) -> None:
    write_model(tmp_path / "start")
    file = tmp_path / "start" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"intermediate_size": 96}), encoding="utf-8")
    result = ended(run_of(tmp_path, stages=[{"name": name} for name in stages]))
    assert result.reason is FailureReason.BAD_CONFIG
    assert "model.layers.0.mlp.down_proj.weight is 32 x 64" in result.message
    assert "by config.json it is 32 x 96" in result.message


@pytest.mark.parametrize(
    "name", [StageName.TOKENIZER, StageName.PRETRAIN, StageName.EVALUATE, StageName.EXPORT]
)
def test_what_uses_the_folder_depends_on_its_files(tmp_path: Path, name: StageName) -> None:
    write_model(tmp_path / "start")
    run = run_of(tmp_path, stages=[{"name": "export"}])
    fields = STAGES[Task.LANGUAGE_MODEL][name].fields
    before = fields(run)
    assert fields(run) == before
    write_model(tmp_path / "start", seed=5)
    assert fields(run) != before


def test_an_export_of_what_was_learned_depends_on_that_alone(tmp_path: Path) -> None:
    write_model(tmp_path / "start")
    run = run_of(tmp_path)
    fields = STAGES[Task.LANGUAGE_MODEL][StageName.EXPORT].fields
    before = fields(run)
    write_model(tmp_path / "start", seed=5)
    assert fields(run) == before
