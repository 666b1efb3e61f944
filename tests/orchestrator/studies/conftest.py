"""What the tests of every study's page share."""

import pytest


@pytest.fixture(scope="module")
def html(html_of, request):
    """The page, of made-up rows, of the study whose folder the tests are in."""
    return html_of(request.path.parent.name)
