import multiprocessing

import pytest

from tests.training import tiny


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Return the path of a small corpus."""
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def processes():
    """Return a context whose processes start with everything imported, but from a clean parent."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.tiny", "scprint2.training.loop", "torch.utils.tensorboard"])
    return context
