"""The words of an error, for places that have room for one line."""

from orchestration.errors import ImageFailed


def test_a_sentence_is_the_message_and_the_hint() -> None:
    error = ImageFailed("The image is gone.", hint="Fetch it again.")

    assert error.sentence == "The image is gone. Fetch it again."


def test_a_sentence_without_hint_ends_with_the_message() -> None:
    assert ImageFailed("The image is gone.").sentence == "The image is gone."
