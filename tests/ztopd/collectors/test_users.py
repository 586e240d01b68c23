"""Names of users: asked for once, again when they are old, and of strangers' uids no more than a bound."""

from tests.ztopd.collectors.immediate_reader import ImmediateReader
from ztopd.collectors import users as module
from ztopd.collectors.blocking import Answer, Question
from ztopd.collectors.users import KNOWN_NS, UNKNOWN_NS, Users

NOBODY = 3_999_999_999


def test_a_name_is_there_after_the_answer_and_asked_for_again_when_old() -> None:
    reader = ImmediateReader()
    users = Users(reader)
    assert users.name(0, 1) is None
    assert list(users.renamed()) == [0]
    assert users.name(0, 2) == "root"
    assert users.name(0, KNOWN_NS) == "root"
    assert reader.asked == [(Question.USER_NAME, 0)]
    assert users.name(0, KNOWN_NS + 1) == "root"
    assert len(reader.asked) == 2
    assert list(users.renamed()) == []


def test_who_has_no_name_is_asked_for_again_soon() -> None:
    """The name service may not have been up yet."""
    reader = ImmediateReader()
    users = Users(reader)
    users.name(NOBODY, 1)
    assert list(users.renamed()) == [NOBODY]
    assert users.name(NOBODY, 2) == str(NOBODY)
    users.name(NOBODY, UNKNOWN_NS)
    assert len(reader.asked) == 1
    users.name(NOBODY, UNKNOWN_NS + 1)
    assert len(reader.asked) == 2


def test_a_name_service_that_blocks_costs_no_name_that_was_known() -> None:
    reader = ImmediateReader()
    users = Users(reader)
    users.name(0, 1)
    assert list(users.renamed()) == [0]
    reader._answers[Question.USER_NAME][0] = Answer(None, "it blocks", 5, is_late=True)
    assert list(users.renamed()) == []
    assert users.name(0, 6) == "root"


def test_thousands_of_uids_are_not_kept() -> None:
    reader = ImmediateReader()
    reader.silent = True
    users = Users(reader)
    for uid in range(3 * module.MAX_USERS):
        users.name(uid, 1)
    assert len(users._asked_boottime_ns) <= module.MAX_USERS
