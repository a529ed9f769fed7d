"""The share of a GPU is the same number in the Helm chart's arithmetic and in ours, for every size of a batch."""

import re
from pathlib import Path

import helm_python

from server.config.resource_presets import gpu_share
from tests.support.helm_chart import CHART

SIZES = range(1, 257)


def test_the_chart_s_share_of_a_gpu_is_ours(tmp_path: Path) -> None:
    """Taken from its template and computed by Helm itself: halves go up in both."""
    template = (CHART / "templates/_scale.tpl").read_text(encoding="utf-8")
    [share] = re.findall(r"{{- \$share := .* -}}", template)
    [bounded] = re.findall(r'"num_gpus" (\(.*\$share.*\)) -}}', template)
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: shares\nversion: 1.0.0\n", encoding="utf-8")
    (tmp_path / "values.yaml").write_text("{}\n", encoding="utf-8")
    (tmp_path / "templates/shares.yaml").write_text(
        f"{{{{- range $size := untilStep {SIZES.start} {SIZES.stop} 1 }}}}\n"
        '{{- $settings := dict "scheduler" (dict "max_batch_size" $size) -}}\n'
        f"{share}\n{{{{ $size }}}} {{{{ {bounded} }}}};\n"
        "{{- end }}\n",
        encoding="utf-8",
    )
    with helm_python.Chart.load(tmp_path) as chart:
        [text] = chart.render({}, name="shares", namespace="default").values()
    found = {int(size): float(gpus) for size, gpus in (line.split() for line in text.split(";") if line.strip())}
    assert found == {size: gpu_share(size) for size in SIZES}
    assert (found[16], found[48]) == (0.13, 0.38)
