"""The environment variables of the service that tickserve replaces, where they say what a setting of ours says.

The weakest source of settings: `TICKSERVE_*`, the file and options win over them. `BATCH_CONFIG_PROFILE`, which names a
whole set, is `profiles`' own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

ORIGINAL_VARIABLES: Mapping[str, str] = {"registry": "MODEL_REGISTRY_PATH", "model_path": "MODEL_PATH"}
"""By our setting."""


class OriginalSource(PydanticBaseSettingsSource):
    """Values of the original variables that are set and not empty."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the variables are read as a whole."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Returns the values by our settings' names."""
        values = {name: os.environ.get(variable, "") for name, variable in ORIGINAL_VARIABLES.items()}
        return {name: value for name, value in values.items() if value}
