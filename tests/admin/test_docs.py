"""The documents name what is there."""

from pathlib import Path

from controller.admin.grpc_api import SERVICES
from controller.core.base.errors import Code

DOCS = Path(__file__).parents[2] / "docs"


def test_every_method_and_refusal_is_in_the_document() -> None:
    """docs/api.md leaves no service, method or reason out."""
    text = (DOCS / "api.md").read_text()
    methods = [method.name for service in SERVICES.values() for method in service.methods]
    for name in (*SERVICES, *methods, *Code):
        assert f"`{name}`" in text, name


def test_the_reference_file_in_the_document_is_the_one_that_is_tested() -> None:
    """docs/service-file.md shows docs/examples/fraud-scorer.yaml, whose values tests hold to the code's."""
    assert (DOCS / "examples" / "fraud-scorer.yaml").read_text() in (DOCS / "service-file.md").read_text()
