"""How long what a merchant sends may be."""

from __future__ import annotations

from typing import Final

REFERENCE_MOST: Final = 64
TEXT_MOST: Final = 500
SHORT_TEXT_MOST: Final = 128
WIDE_TEXT_MOST: Final = 2_048
EMAIL_MOST: Final = 254
DESCRIPTOR_MOST: Final = 22
METADATA_PAIRS_MOST: Final = 50
METADATA_KEY_MOST: Final = 40
METADATA_VALUE_MOST: Final = 500
URL_MOST: Final = 2_048
RETURN_PARAMETERS_MOST: Final = 20
RETURN_PARAMETER_MOST: Final = 4_096
