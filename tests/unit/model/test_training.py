"""Laws of a training run, on a tiny network and a few real bars, and of its command."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from model.bar import Bar
from model.bar_file import read_bars
from model.data_errors import InvalidBarError, NotEnoughBarsError, SettingError
from model.dataset import Dataset, chronological_split, label_thresholds, load_windows
from model.feature_schema import SCHEMA_ID
from model.fitting import TrainingProgress
from model.losses import LOSS_WEIGHTS, gaussian_loss, loss_terms, total_loss
from model.model_config import NetworkConfig
from model.network import HybridNetwork, InferenceNetwork
from model.registry import Registry
from model.training import TrainedModel, train_model
from model.training_settings import TrainingSettings
from server.commands.train import train

DATA = Path(__file__).parents[3] / "data" / "eurusd_1h.csv"
TINY = NetworkConfig(
    cnn_filters=4,
    kernel_sizes=(3, 5),
    attention_heads=2,
    projection=8,
    lstm_hidden=8,
    lstm_layers=1,
    fusion=16,
    head_hidden=8,
    ensemble_heads=3,
    ensemble_hidden=8,
    monte_carlo_samples=4,
)
# One thread: so small a network gains nothing from two, and two would wait for each other on a busy machine.
SETTINGS = TrainingSettings(max_epochs=2, stride=8, batch_size=16, threads=1, network=TINY, precision="fp32")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing from two threads, which on a busy machine wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def bars() -> list[Bar]:
    """The first 1 300 real bars."""
    return read_bars(DATA, limit=1300)


@pytest.fixture(scope="module")
def trained(bars: list[Bar]) -> TrainedModel:
    """A tiny run."""
    return train_model(bars, SETTINGS)


def weights(model: TrainedModel) -> dict[str, bytes]:
    """Every tensor of the network as bytes."""
    return {name: tensor.numpy().tobytes() for name, tensor in model.network.state_dict().items()}


def test_the_same_seed_gives_the_same_weights(bars: list[Bar], trained: TrainedModel) -> None:
    """Two runs with one seed agree in every bit of every weight and buffer; another seed does not."""
    torch.rand(7)  # the caller's random state must not matter
    assert weights(train_model(bars, SETTINGS)) == weights(trained)
    assert weights(train_model(bars, dataclasses.replace(SETTINGS, seed=8))) != weights(trained)


def test_training_leaves_the_callers_torch_alone(bars: list[Bar]) -> None:
    """Neither the global random state nor the thread count is changed."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    torch.set_num_threads(2)
    train_model(bars, dataclasses.replace(SETTINGS, max_epochs=1, threads=1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == 2


def test_everything_fitted_comes_from_the_training_split(bars: list[Bar], trained: TrainedModel) -> None:
    """Other bars after the training split change neither thresholds nor normalisation."""
    split = chronological_split(len(bars), horizon=4, embargo=64)
    changed = [
        bar if i < split.train.stop else dataclasses.replace(bar, high=bar.high * 3, close=bar.close * (1 + i % 3))
        for i, bar in enumerate(bars)
    ]
    other = train_model(changed, dataclasses.replace(SETTINGS, max_epochs=1)).config
    config = trained.config
    assert other.feature_normalisation == config.feature_normalisation
    assert other.target_normalisation == config.target_normalisation
    assert other.class_thresholds == config.class_thresholds
    data = Dataset.from_bars(bars[: split.train.stop], horizon=4, bar_interval=3600.0)
    targets = data.targets(split.train.anchors(4))
    assert config.class_thresholds == label_thresholds(targets[:, 0])
    np.testing.assert_allclose(config.target_normalisation.mean, targets.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(config.feature_normalisation.mean, data.rows[:-4].mean(axis=0), rtol=1e-4, atol=1e-6)


def test_the_feature_range_is_the_training_splits(bars: list[Bar], trained: TrainedModel) -> None:
    """Every training window lies in it and touches each bound; bars after the training split do not widen it."""
    split = chronological_split(len(bars), horizon=4, embargo=64)
    data = Dataset.from_bars(bars, horizon=4, bar_interval=3600.0)
    windows = data.windows(split.train.anchors(4))
    bounds = trained.config.feature_range
    assert bounds is not None
    np.testing.assert_array_equal(np.array(bounds.lower, np.float32), windows.min(axis=(0, 2)))
    np.testing.assert_array_equal(np.array(bounds.upper, np.float32), windows.max(axis=(0, 2)))
    beyond = data.windows(split.test.anchors(4))
    assert (beyond.max(axis=(0, 2)) > np.array(bounds.upper, np.float32)).any()


def test_golden_windows_are_of_the_test_split(bars: list[Bar], trained: TrainedModel) -> None:
    """256 different ones, spread over the whole of it, that neither training nor calibration saw; else none."""
    assert trained.golden is None  # 53 samples are in this test split
    longer = read_bars(DATA, limit=2700)
    model = train_model(longer, dataclasses.replace(SETTINGS, max_epochs=1, time_budget=1e-9))
    split = chronological_split(len(longer), horizon=4, embargo=64)
    windows = Dataset.from_bars(longer, horizon=4, bar_interval=3600.0).windows(split.test.anchors(4))
    golden = model.golden
    assert golden is not None
    assert golden.shape == (256, 50, 60)
    of_test = {window.tobytes() for window in windows}
    given = [window.tobytes() for window in golden]
    assert len(set(given)) == 256
    assert set(given) <= of_test
    assert (given[0], given[-1]) == (windows[0].tobytes(), windows[-1].tobytes())


def test_the_report_says_what_the_issue_asks(trained: TrainedModel) -> None:
    """Figures for both splits beside baselines, all finite; intervals cover 68 % of the validation split."""
    config, report = trained.config, trained.config.training
    assert config.feature_schema == SCHEMA_ID
    assert config.prediction_horizon == 4
    assert config.bar_interval_seconds == 3600.0
    for split in ("validation", "test"):
        for group in (report[split], report[split]["baseline"]):
            assert {"accuracy", "log_loss", "expected_calibration_error"} <= set(group["classification"])
            assert all(
                math.isfinite(group["regression"][t][f]) for t in ("return", "volatility") for f in ("rmse", "mae")
            )
        for kind in ("regression", "ensemble_regression"):
            assert all(0 <= report[split][kind][t]["coverage"] <= 1 for t in ("return", "volatility"))
    for kind in ("regression", "ensemble_regression"):
        for figures in report["validation"][kind].values():
            assert figures["coverage"] == pytest.approx(0.6827, abs=0.02)
    splits = report["data"]["splits"]
    assert splits["train"]["last_bar"] < splits["validation"]["first_bar"] < splits["test"]["first_bar"]
    assert report["history"]["best_epoch"] in (1, 2)
    json.dumps(report, allow_nan=False)


def test_the_best_epoch_is_the_one_kept(bars: list[Bar]) -> None:
    """The best epoch has the lowest validation loss; patience ends a run that a huge learning rate ruins."""
    seen: list[TrainingProgress] = []
    settings = dataclasses.replace(SETTINGS, max_epochs=30, patience=2, learning_rate=0.3)
    history = train_model(bars, settings, seen.append).config.training["history"]
    losses = [epoch["validation_loss"] for epoch in history["epochs"]]
    assert history["best_epoch"] == 1 + int(np.argmin(losses))
    assert history["stopped"] == "no_better_validation_loss"
    assert len(losses) == history["best_epoch"] + 2
    told = [p.validation_loss for p in seen if p.validation_loss is not None]
    assert told == losses


def test_a_time_budget_ends_a_run_with_a_usable_model(bars: list[Bar]) -> None:
    """A budget that is over at once still gives one step, a validation and a finished model."""
    settings = dataclasses.replace(SETTINGS, max_epochs=50, time_budget=1e-9)
    model = train_model(bars, settings)
    assert model.config.training["history"]["stopped"] == "time_budget"
    assert len(model.config.training["history"]["epochs"]) == 1


def test_a_trained_model_survives_the_registry(tmp_path: Path, trained: TrainedModel) -> None:
    """What was saved loads with the same bits in every tensor and answers as it did before."""
    registry = Registry(tmp_path)
    golden = load_windows(DATA, 256)
    version = registry.save("tiny", trained.network, trained.config, golden)
    loaded = registry.load("tiny", version)
    assert loaded.golden is not None
    assert np.array_equal(loaded.golden, golden)
    assert loaded.config.feature_range == trained.config.feature_range
    stored = {name: tensor.numpy().tobytes() for name, tensor in loaded.network.state_dict().items()}
    assert stored == weights(trained)
    windows = torch.from_numpy(load_windows(DATA, 8))
    with torch.no_grad():
        for before, after in zip(
            InferenceNetwork(trained.network)(windows), InferenceNetwork(loaded.network)(windows), strict=True
        ):
            # Not to the bit: where the tensors lie in memory decides which vector code torch runs.
            torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-7)
    assert loaded.config.training == json.loads(json.dumps(trained.config.training))


def test_every_head_is_trained() -> None:
    """Each term's weight is positive, and every parameter of the network gets a gradient from the total loss."""
    torch.manual_seed(1)
    network = HybridNetwork(TINY)
    terms = loss_terms(network(torch.randn(4, 50, 60)), torch.tensor([0, 1, 2, 1]), torch.randn(4, 2))
    assert set(terms) == set(LOSS_WEIGHTS)
    assert all(weight > 0 for weight in LOSS_WEIGHTS.values())
    total_loss(terms).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # A key's bias adds one number to all scores of a query, a score's bias to all steps: softmax cancels both.
    assert all(name.endswith(("key.bias", "score.bias")) for name in silent), silent


def test_the_gaussian_loss_is_a_likelihood() -> None:
    """It equals the negative log density of a normal distribution up to the constant ln(2 pi) / 2."""
    mean, log_variance, target = torch.tensor(0.3), torch.tensor(-1.2), torch.tensor(1.1)
    density = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(target)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    expected = -density - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(gaussian_loss(mean, log_variance, target), expected)


def test_bars_that_cannot_be_trained_on_are_refused(bars: list[Bar]) -> None:
    """Too few bars and bars out of order are typed errors."""
    with pytest.raises(NotEnoughBarsError, match="give a longer history"):
        train_model(bars[:500], SETTINGS)
    with pytest.raises(InvalidBarError, match="open_time"):
        train_model([*bars[:900], *bars[800:]], SETTINGS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prediction_horizon", 0),
        ("bar_interval", 0.0),
        ("embargo", 63),
        ("seed", -1),
        ("max_epochs", 0),
        ("stride", 0),
        ("patience", 0),
        ("batch_size", 1),
        ("learning_rate", math.nan),
        ("weight_decay", -1.0),
        ("time_budget", 0.0),
        ("threads", 0),
        ("precision", "fp8"),
        ("network", NetworkConfig(time_steps=30)),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field: str, value: object) -> None:
    """Each setting out of its range is refused by its name with a remedy."""
    with pytest.raises(SettingError, match="; give") as caught:
        TrainingSettings(**{field: value})  # type: ignore[arg-type]  # values of the wrong range, not type
    assert caught.value.field == field


@pytest.fixture
def command() -> typer.Typer:
    """The command as an application of its own."""
    app = typer.Typer()
    app.command()(train)
    return app


def test_the_command_writes_a_version_and_prints_the_baselines(
    tmp_path: Path, bars: list[Bar], command: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train` saves a loadable version whose report has the file's hash, and prints baselines and path."""
    del bars
    data = tmp_path / "bars.csv"
    data.write_text("".join(DATA.read_text().splitlines(keepends=True)[:1301]))
    monkeypatch.setattr(
        "server.commands.train.TrainingSettings", lambda **given: dataclasses.replace(SETTINGS, **given)
    )
    arguments = ["--data", str(data), "--registry", str(tmp_path / "r"), "--name", "tiny"]
    result = CliRunner().invoke(command, [*arguments, "--max-epochs", "1", "--stride", "8", "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "baseline" in result.output
    assert str(tmp_path / "r" / "tiny" / "1") in result.output
    loaded = Registry(tmp_path / "r").load("tiny", 1)
    assert loaded.config.training["data"]["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert loaded.config.training["data"]["bars"] == 1300
    # As JSON, and as the next version.
    result = CliRunner().invoke(command, [*arguments, "--max-epochs", "1", "--stride", "8", "--threads", "1", "--json"])
    told = json.loads(result.stdout)
    assert (told["name"], told["version"], told["folder"]) == ("tiny", 2, str(tmp_path / "r" / "tiny" / "2"))
    assert told["data"] == loaded.config.training["data"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "{tmp}/none.csv"], "none.csv: cannot be read"),
        (["--data", "{tmp}/short.csv"], "got 100; give a longer history"),
        (["--data", "{tmp}/bad.csv"], "bad.csv, line 3: Open 'x' is not a number"),
        (["--data", "{tmp}/short.csv", "--name", "../up"], "'../up' does not match"),
        (["--data", "{tmp}/short.csv", "--max-epochs", "0"], "max_epochs is 0; give"),
        (["--data", "{tmp}/short.csv", "--precision", "fp8"], "precision is 'fp8'; give"),
        (["--data", "{tmp}/short.csv", "--registry", "{tmp}/short.csv"], "not a registry"),
    ],
)
def test_bad_input_exits_2_with_a_message_and_no_traceback(
    tmp_path: Path, command: typer.Typer, options: list[str], words: str
) -> None:
    """Each kind of bad input ends with exit code 2, names the field or line and the remedy, and writes no version."""
    lines = DATA.read_text().splitlines(keepends=True)
    (tmp_path / "short.csv").write_text("".join(lines[:101]))
    (tmp_path / "bad.csv").write_text("".join([*lines[:2], lines[2].replace("1.05227", "x", 1)]))
    arguments = [option.replace("{tmp}", str(tmp_path)) for option in options]
    if "--registry" not in arguments:
        arguments += ["--registry", str(tmp_path / "r")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", "")
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("**/config.json"))
