"""The weakest source of settings but one: the values of the profile that a stronger source names."""

from __future__ import annotations

import os
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from server.config.profiles import PROFILE_VARIABLE, PROFILES


class ProfileSource(PydanticBaseSettingsSource):
    """The values of the profile that the stronger sources, or the original variable, name."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the profile is read as a whole."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Returns the profile's values, or none; an unknown name is left to the field's own validation."""
        name = self.current_state.get("profile") or os.environ.get(PROFILE_VARIABLE, "")
        values = PROFILES.get(name)
        return {"profile": name} | (values.model_dump() if values is not None else {})
