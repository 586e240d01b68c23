"""All that is fuzzed. A new target is a module with one, and a line here."""

from tests.fuzz import client, connection, parsers, recording, store, words
from tests.fuzz.target import Target

TARGETS: tuple[Target, ...] = (
    connection.TARGET,
    client.TARGET,
    recording.BLOBS,
    recording.FILE,
    store.TARGET,
    parsers.TARGET,
    words.QUERY,
    words.CONFIGURATION,
    words.MOMENT,
    words.SETTINGS,
)
