"""Settings in a process that was given all of them.

A replica starts whenever Ray Serve needs one, perhaps long after the service: it must come up with the settings that
are in force, and not with whatever the file says by then, or fail on a file that somebody is in the middle of editing.
"""

from __future__ import annotations

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from server.config.settings import Settings


class GivenSettings(Settings):
    """Settings made from arguments alone: no file and no environment variable is looked at."""

    # What is wrong with them goes to Ray's logs, and an address may hold a password.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the arguments as the one source."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)
