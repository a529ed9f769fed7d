"""Laws of new settings for replicas that serve: the arguments never change, the mark does when replicas must be new."""

from typing import Any

from server.renewal import MARK, renewed


def config(arguments: dict[str, Any], live: dict[str, Any], **deployment: Any) -> dict[str, Any]:
    """Returns a configuration as `app.serve_config` makes it, in as far as it matters."""
    return {
        "applications": [
            {
                "args": arguments,
                "deployments": [{"user_config": live, "ray_actor_options": {"num_cpus": 1.0}, **deployment}],
            }
        ]
    }


def parts(made: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Returns arguments, user configuration and mark."""
    [application] = made["applications"]
    [deployment] = application["deployments"]
    [(mark, amount)] = deployment["ray_actor_options"]["resources"].items()
    assert amount == 0
    assert mark.startswith(MARK)
    return application["args"], deployment["user_config"], mark


FIRST = config({"engine": "auto", "path": "a"}, {"max_timeout": 1})


def test_the_arguments_stay_those_of_the_start() -> None:
    """Ray Serve, which would build anew for others, is given the same ones; the new values travel beside them."""
    arguments, user_config, _ = parts(
        renewed(config({"engine": "eager", "path": "a"}, {"max_timeout": 2}), first=FIRST)
    )
    assert arguments == {"engine": "auto", "path": "a"}
    assert user_config == {"engine": "eager", "path": "a", "max_timeout": 2}


def test_only_settings_that_need_new_replicas_change_the_mark() -> None:
    """Live settings and scale leave it as it is; the order of the settings means nothing; going back restores it."""
    _, _, mark = parts(renewed(FIRST, first=FIRST))
    live = config({"path": "a", "engine": "auto"}, {"max_timeout": 5}, num_replicas=3)
    assert parts(renewed(live, first=FIRST))[2] == mark
    other = config({"engine": "eager", "path": "a"}, {"max_timeout": 1})
    assert parts(renewed(other, first=FIRST))[2] != mark


def test_neither_configuration_is_touched() -> None:
    """Both may be used again."""
    now = config({"engine": "eager"}, {"max_timeout": 2})
    made = renewed(now, first=FIRST)
    made["applications"][0]["args"]["engine"] = "changed"
    made["applications"][0]["deployments"][0]["user_config"]["max_timeout"] = 9
    assert now == config({"engine": "eager"}, {"max_timeout": 2})
    assert config({"engine": "auto", "path": "a"}, {"max_timeout": 1}) == FIRST


def test_what_else_is_said_of_the_deployment_stays() -> None:
    """Its number of replicas and its CPUs, say."""
    made = renewed(config({}, {}, num_replicas=3), first=config({}, {}))
    [deployment] = made["applications"][0]["deployments"]
    assert deployment["num_replicas"] == 3
    assert deployment["ray_actor_options"]["num_cpus"] == 1.0
