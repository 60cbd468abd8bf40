"""What redis can tell root's worker: names of its own tasks with JSON, and nothing about the worker itself (INV-12, SEC-D2)."""

import pytest

import instances.tasks  # noqa: F401  # registers them
import networks.tasks  # noqa: F401
import opsweb.core.tasks  # noqa: F401
from opsweb.celery import app


def test_only_json_is_read() -> None:
    assert set(app.conf.accept_content) == {"json"}
    assert app.conf.result_accept_content is None
    assert app.conf.task_serializer == "json"


def test_nobody_steers_the_worker_through_redis() -> None:
    """Celery's own remote control could grow its pool, change its queues, end it."""
    assert app.conf.worker_enable_remote_control is False


def test_no_result_is_kept_where_somebody_may_forge_it() -> None:
    assert app.conf.task_ignore_result is True
    assert app.backend.as_uri().startswith("disabled")


@pytest.mark.parametrize("argument", ["../x", "", "*", "06869add-3412-47f9-a55d-9419e23da980/..", 7, None, {"pk": 1}, ["x"]])
@pytest.mark.parametrize(
    "task", ["instances.converge", "instances.apply_forwards", "instances.build_image", "instances.erase_image", "networks.converge"]
)
def test_an_argument_is_an_id_or_nothing_happens(task: str, argument: object) -> None:
    with pytest.raises((ValueError, AttributeError, TypeError)):
        app.tasks[task](argument)


def test_there_is_no_task_that_we_do_not_know() -> None:
    """A new one belongs here, once somebody has thought of who may forge its message."""
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours == {
        "core.trim_audit",  # no argument: the settings say what goes
        "instances.converge",
        "instances.apply_forwards",
        "instances.build_image",
        "instances.erase_image",
        "instances.sweep",
        "instances.inspect_host",
        "instances.keep_taps",  # no argument: a look at this host's taps
        "networks.converge",
        "networks.keep_filter",
    }
