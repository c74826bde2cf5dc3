from __future__ import annotations

from itertools import permutations

from puna.api.analysis import MetricVerdict, Result
from puna.endpoint.verdict import worst


def metric(result: Result, name: str = "errors") -> MetricVerdict:
    return MetricVerdict(name=name, result=result, message=f"it is {result}")


def test_the_worst_metric_decides_whatever_the_order() -> None:
    order = (Result.FAIL, Result.ERROR, Result.INCONCLUSIVE, Result.PASS)
    for count in range(1, 5):
        for results in permutations(order, count):
            found = worst(map(metric, results))
            assert found is not None
            assert found.result == min(results, key=order.index)
            assert found.message == f"errors: it is {found.result}"


def test_of_equally_bad_metrics_the_first_is_told_and_without_any_there_is_no_verdict() -> None:
    pair = (metric(Result.FAIL, "latency"), metric(Result.FAIL, "errors"))
    found = worst(pair)
    assert found is not None
    assert (found.message, found.metrics) == ("latency: it is Fail", pair)
    assert worst(()) is None
