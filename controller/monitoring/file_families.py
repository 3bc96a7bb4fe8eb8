"""Metrics of the folder whose service files are applied."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from controller.core.base.text import clean
from controller.ports.service_files import FilesStatus

MAX_REASON = 200
"""Characters of a reason in a label."""


def file_families(status: FilesStatus) -> Iterable[Metric]:
    """Known to the controller that decides; of a controller without such a folder there are no series."""
    number = GaugeMetricFamily("haldane_apply_from_files", "Service files in the folder that is applied")
    problems = GaugeMetricFamily(
        "haldane_apply_from_problem", "1 for each file with a problem", labels=["file", "kind", "reason"]
    )
    if status.number is not None:
        number.add_metric([], status.number)
    for name, problem in status.problems.items():
        problems.add_metric([clean(name), problem.kind, clean(problem.text)[:MAX_REASON]], 1)
    return number, problems
