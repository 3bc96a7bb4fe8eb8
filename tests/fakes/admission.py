"""Whose reports count, as a test describes it."""

from dataclasses import dataclass

from controller.core.traffic.book import Book
from controller.ports.report_admission import Admission, Reporter


@dataclass
class EveryoneAdmitted:
    """There is no xDS server: whoever reports counts as a proxy with every observed cluster."""

    book: Book

    def admission(self, reporter: Reporter) -> Admission:
        return Admission(self.book.observed)
