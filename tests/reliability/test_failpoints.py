"""Failpoints do what they are told where they are told, and nothing unless a test asks for it."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from domain.errors import ConfigurationError
from service import failpoints
from service.failpoints import FailpointReached, arm, arm_from, disarm, failpoint
from tests.reliability.children import Child


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    disarm()


def test_the_nth_pass_fails_and_no_other() -> None:
    arm("write.commit:3:raise")
    failpoint("write.commit")
    failpoint("write.begun")
    failpoint("write.commit")
    with pytest.raises(FailpointReached, match=r"write\.commit"):
        failpoint("write.commit")
    failpoint("write.commit")


def test_from_the_nth_pass_on_every_one_fails() -> None:
    arm("write.commit:2+:raise")
    failpoint("write.commit")
    for _ in range(3):
        with pytest.raises(FailpointReached):
            failpoint("write.commit")


def test_all_places_can_be_counted_together() -> None:
    traps = arm("*:3:raise")
    failpoint("write.begun")
    failpoint("write.commit")
    with pytest.raises(FailpointReached, match=r"snapshot\.begun"):
        failpoint("snapshot.begun")
    assert (traps.passed(), traps.passed("write.begun"), traps.passed("migrate.done")) == (3, 1, 0)


@pytest.mark.parametrize(("action", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_a_disk_fails_with_its_own_number(action: str, number: int) -> None:
    arm(f"snapshot.begun:1:{action}")
    with pytest.raises(OSError) as caught:
        failpoint("snapshot.begun")
    assert caught.value.errno == number


def test_a_kill_leaves_no_time_for_anything() -> None:
    def work(say: object) -> None:
        try:
            failpoint("write.commit")
        finally:
            say("alive")  # type: ignore[operator]

    ended = Child(work, "write.commit:1:kill").end()
    assert ended.killed
    assert ended.said == ()


def test_a_pause_goes_on_afterwards() -> None:
    arm("write.commit:1:sleep=0.001,write.begun:1:raise")
    failpoint("write.commit")
    with pytest.raises(FailpointReached):
        failpoint("write.begun")


@pytest.mark.parametrize(
    "description",
    ["write.commit", "write.commit:1", "write.commit:0:kill", "write.commit:x:kill", "nowhere:1:kill", "*:1:explode"],
)
def test_a_description_that_cannot_be_read_is_refused(description: str) -> None:
    with pytest.raises(ConfigurationError, match="failpoint"):
        arm(description)


def test_an_environment_that_is_no_test_is_refused() -> None:
    for environment in ({}, {"TESTING": "0"}, {"TESTING": ""}):
        with pytest.raises(ConfigurationError, match="unset it"):
            arm_from({"FAILPOINT": "write.commit:1:kill", **environment})
    assert failpoints._armed is None
    arm_from({"TESTING": "1"})
    assert failpoints._armed is None
    arm_from({"FAILPOINT": "write.commit:1:raise", "TESTING": "1"})
    with pytest.raises(FailpointReached):
        failpoint("write.commit")
