"""How other settings reach replicas that serve, without Ray Serve building the application anew.

Ray Serve builds an application again when its arguments have changed, and until that is done, seconds later, it knows
no ingress: its proxy has no replicas in its list, though they are all there, and every call fails (`get_target_groups`
of Ray 2.60's controller, while `ingress_deployment_name` is None). So the arguments stay those of the start. What is in
force now travels as `user_config`, and a mark that follows from the settings that need new replicas is what replaces
them, one after the other.

Pure: knows no Ray.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

MARK = "tickserve_settings_"
"""Begins the name of a resource of which a replica takes none: Ray Serve replaces replicas whose resources change."""


def renewed(config: Mapping[str, Any], *, first: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration that puts its settings in force without a new build.

    Args:
        config: Of the whole service with the settings that are to be in force, as `app.serve_config` makes it.
        first: The one that the service was started with, likewise.
    """
    made = copy.deepcopy(dict(config))
    for application, former in zip(made["applications"], first["applications"], strict=True):
        arguments = application["args"]
        text = json.dumps(arguments, sort_keys=True)
        mark = MARK + hashlib.sha256(text.encode()).hexdigest()[:16]
        application["args"] = copy.deepcopy(former["args"])
        for deployment in application["deployments"]:
            deployment["user_config"] = {**arguments, **deployment["user_config"]}
            deployment["ray_actor_options"] = {**deployment["ray_actor_options"], "resources": {mark: 0.0}}
    return made
