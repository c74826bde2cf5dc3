from __future__ import annotations

from puna_trainer.language.compilation import compiling_pays
from puna_trainer.language.spread import needs_shards


def test_compiling_pays_for_long_runs_alone() -> None:
    assert not compiling_pays("cuda", flops=1e15, compiler=True)
    assert compiling_pays("cuda", flops=1e17, compiler=True)


def test_nothing_is_compiled_without_a_compiler_or_for_processors_and_metal() -> None:
    assert not compiling_pays("cuda", flops=1e18, compiler=False)
    assert not compiling_pays("cpu", flops=1e18, compiler=True)
    assert not compiling_pays("mps", flops=1e18, compiler=True)


def test_a_model_is_cut_into_shards_when_a_gpu_cannot_hold_it() -> None:
    assert not needs_shards(300_000_000, 16 * 2**30)
    assert needs_shards(3_000_000_000, 80 * 2**30)
