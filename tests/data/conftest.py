"""What tests of downloads and sources share."""

import pytest

from tests.data.web_server import run_site


@pytest.fixture
def site():
    """A web server on this machine, whose answers the test gives."""
    with run_site() as running:
        yield running
