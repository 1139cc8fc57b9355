"""References without digits: Turnout refuses a text in which it sees what may be a card number."""

_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def spelled(text: str) -> str:
    """The text with letters for its digits; different texts of hexadecimal stay different."""
    return text.translate(_LETTERS)
