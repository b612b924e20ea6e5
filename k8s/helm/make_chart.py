"""Write the templates of the Helm chart from the kustomize objects: `make chart`.

What a value decides is named below; everything else is as in k8s/base and k8s/components.
"""

import argparse
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CHART = HERE / "churnhouse"
MONITORING = HERE.parent / "monitoring"

Object = dict[str, Any]

# Jobs that build or train; the others need little.
HEAVY = ("daily", "retrain", "retrain-if-drifted", "test", "seed-model")
CONDITIONS = {
    "HorizontalPodAutoscaler": ".Values.autoscaling.enabled",
    "Ingress": ".Values.ingress.host",
    "PrometheusRule": 'eq .Values.monitoring.mode "operator"',
    "ServiceMonitor": 'eq .Values.monitoring.mode "operator"',
    "ResourceQuota": ".Values.quota",
    "CronJob.churnhouse-generate": ".Values.syntheticData",
    "CronJob.churnhouse-retrain-if-drifted": ".Values.schedules.retrainIfDrifted",
}
DOMAIN = """\
{{- if .Values.domain.files }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: churnhouse-domain
  namespace: {{ .Release.Namespace }}
data:
  {{- toYaml .Values.domain.files | nindent 2 }}
{{- end }}
"""
SETTINGS = """\
{{- define "churnhouse.settings" -}}
{{- $settings := dict %s -}}
{{- $_ := set $settings "DOMAIN" .Values.domain.name -}}
{{- if .Values.vars }}{{ $_ := set $settings "CHURNHOUSE_VARS" (toJson .Values.vars) }}{{ end -}}
{{- toYaml (mergeOverwrite $settings .Values.settings) -}}
{{- end -}}
"""


class Expressions:
    """Template expressions, each behind a word that survives a dump as YAML."""

    def __init__(self) -> None:
        self._by_word: dict[str, str] = {}

    def value(self, expression: str) -> str:
        """Return a word for one line: {{ expression }}."""
        return self._word("{{ " + expression + " }}")

    def block(self, expression: str) -> str:
        """Return a word for an expression that gives YAML, which is indented below its key."""
        return self._word("{{- " + expression + " | nindent %d }}")

    def optional(self, key: str, of: str) -> dict[str, str]:
        """Return an entry that is there only if its value is: {key: value as YAML}."""
        text = (
            "{{- with " + of + " }}\n%s" + key + ":\n%s  {{- toYaml . | nindent %d }}\n%s{{- end }}"
        )
        return {self._word(text): ""}

    def filled_into(self, text: str) -> str:
        """Return YAML with every word replaced by its expression."""
        lines = [self._filled(line) for line in text.splitlines()]
        assert "Expression" not in "".join(lines)
        return "\n".join(lines) + "\n"

    def _word(self, expression: str) -> str:
        word = f"Expression{len(self._by_word):03}"
        self._by_word[word] = expression
        return word

    def _filled(self, line: str) -> str:
        indent = len(line) - len(line.lstrip(" -"))
        line = line.removesuffix(": ''")  # an expression in the place of a whole entry
        for word in re.findall(r"Expression\d{3}", line):
            text = self._by_word[word]
            if text.startswith("{{- with"):
                space = " " * indent
                return space + text % (space, space, indent + 2, space)
            if text.startswith("{{-"):
                text = text % (indent + 2)
            line = line.replace(word, text)
        return line


def changed(found: Object, write: Expressions) -> None:
    """Put expressions where values decide."""
    kind, name = found["kind"], found["metadata"]["name"]
    CHANGES.get(kind, lambda *_: None)(found, name.removeprefix("churnhouse-"), write)


def _cron_job(found: Object, name: str, write: Expressions) -> None:
    if name != "generate":
        key = re.sub(r"-(\w)", lambda part: part[1].upper(), name)
        found["spec"]["schedule"] = write.value(f".Values.schedules.{key} | quote")
    _job_pod(found["spec"]["jobTemplate"]["spec"], name, write)


def _job_pod(spec: Object, name: str, write: Expressions) -> None:
    (container,) = spec["template"]["spec"]["containers"]
    container["image"] = write.value(".Values.images.ml")
    if name in HEAVY:
        container["resources"] = write.block("toYaml .Values.resources.jobs")


def _job(found: Object, name: str, write: Expressions) -> None:
    _job_pod(found["spec"], name, write)
    # a Job cannot be changed, so every revision has its own
    found["metadata"]["name"] += write.value('printf "-%d" .Release.Revision')
    (container,) = found["spec"]["template"]["spec"]["containers"]
    (script,) = container["args"]
    made_up, fed = "--domain elearning", '--domain "$DOMAIN" --raw /data/raw'
    assert made_up in script
    chosen = f"if .Values.syntheticData }}}}{made_up}{{{{ else }}}}{fed}{{{{ end"
    container["args"] = [script.replace(made_up, write.value(chosen))]


def _deployment(found: Object, name: str, write: Expressions) -> None:
    spec = found["spec"]
    replicas = "if not .Values.autoscaling.enabled }}replicas: {{ .Values.replicas }}{{ end"
    spec |= {write.value(replicas): ""}
    spec["template"]["metadata"]["annotations"] = {
        "checksum/settings": write.value('include "churnhouse.settings" . | sha256sum | quote')
    }
    (container,) = spec["template"]["spec"]["containers"]
    container["image"] = write.value(".Values.images.api")
    container["resources"] = write.block("toYaml .Values.resources.api")
    secret = write.value(".Values.secrets.api")
    for variable in container["env"]:
        if "valueFrom" in variable:
            variable["valueFrom"]["secretKeyRef"]["name"] = secret
    for volume in spec["template"]["spec"]["volumes"]:
        if "secret" in volume:
            volume["secret"]["secretName"] = secret


def _claim(found: Object, name: str, write: Expressions) -> None:
    # uninstalling the chart keeps the data
    found["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    found["spec"] = {
        "accessModes": [write.value(".Values.storage.accessMode")],
        "resources": {"requests": {"storage": write.value(".Values.storage.size")}},
    } | {write.value("with .Values.storage.class }}storageClassName: {{ . }}{{ end"): ""}


def _config(found: Object, name: str, write: Expressions) -> None:
    if name == "dashboards":
        found["data"] = {
            file: write.value(f'.Files.Get "files/{file}" | toJson') for file in found["data"]
        }
    else:
        found["data"] = write.block('include "churnhouse.settings" .')


def _autoscaler(found: Object, name: str, write: Expressions) -> None:
    for key in ("minReplicas", "maxReplicas"):
        found["spec"][key] = write.value(f".Values.autoscaling.{key}")


def _ingress(found: Object, name: str, write: Expressions) -> None:
    found["metadata"] |= write.optional("annotations", ".Values.ingress.annotations")
    found["spec"]["ingressClassName"] = write.value(".Values.ingress.className")
    host = write.value(".Values.ingress.host")
    (rule,), (tls,) = found["spec"]["rules"], found["spec"]["tls"]
    rule["host"], tls["hosts"] = host, [host]
    tls["secretName"] = write.value(".Values.ingress.tlsSecret")


def _monitor(found: Object, name: str, write: Expressions) -> None:
    _labels(found, name, write)
    (endpoint,) = found["spec"]["endpoints"]
    endpoint["authorization"]["credentials"]["name"] = write.value(".Values.secrets.scrape")


def _rules(found: Object, name: str, write: Expressions) -> None:
    _labels(found, name, write)
    found["spec"] = write.block('.Files.Get "files/rules.yml" | trim')


def _labels(found: Object, name: str, write: Expressions) -> None:
    """Add the labels by which some operators choose objects."""
    kept = found["metadata"].get("labels", {})
    pairs = " ".join(f'"{key}" "{value}"' for key, value in kept.items())
    all_of_them = f"mergeOverwrite (dict {pairs}) .Values.monitoring.labels"
    found["metadata"].pop("labels", None)
    found["metadata"] |= write.optional("labels", all_of_them)


def _service(found: Object, name: str, write: Expressions) -> None:
    noted = 'eq .Values.monitoring.mode "annotations" | ternary (dict '
    noted += '"prometheus.io/scrape" "true" "prometheus.io/path" "/metrics") (dict)'
    found["metadata"] |= write.optional("annotations", f"({noted})")


def _policy(found: Object, name: str, write: Expressions) -> None:
    if name == "api-scrape":
        (peer,) = found["spec"]["ingress"][0]["from"]
        namespace = peer["namespaceSelector"]["matchLabels"]
        namespace["kubernetes.io/metadata.name"] = write.value(".Values.monitoring.namespace")


def _role(found: Object, name: str, write: Expressions) -> None:
    for rule in found["rules"]:
        if "secrets" in rule["resources"]:
            names = [".Values.secrets.api", ".Values.secrets.scrape"]
            rule["resourceNames"] = [write.value(one) for one in names]


def _account(found: Object, name: str, write: Expressions) -> None:
    if name != "deployer":
        found |= write.optional("imagePullSecrets", ".Values.imagePullSecrets")


def _quota(found: Object, name: str, write: Expressions) -> None:
    found["spec"]["hard"] = write.block("toYaml .Values.quota")


CHANGES: dict[str, Callable[[Object, str, Expressions], None]] = {
    "CronJob": _cron_job,
    "Job": _job,
    "Deployment": _deployment,
    "PersistentVolumeClaim": _claim,
    "ConfigMap": _config,
    "HorizontalPodAutoscaler": _autoscaler,
    "Ingress": _ingress,
    "ServiceMonitor": _monitor,
    "PrometheusRule": _rules,
    "Service": _service,
    "NetworkPolicy": _policy,
    "Role": _role,
    "ServiceAccount": _account,
    "ResourceQuota": _quota,
}


def rendered() -> list[Object]:
    """Return the objects of k8s/helm/source, without the hash in the settings' name."""
    text = subprocess.run(
        ["kubectl", "kustomize", HERE / "source"], capture_output=True, text=True, check=True
    ).stdout
    text = re.sub(r"churnhouse-settings-\w{10}\b", "churnhouse-settings", text)
    return list(yaml.safe_load_all(text))


def template(found: Object) -> str:
    """Return an object as a template."""
    write = Expressions()
    kind, name = found["kind"], found["metadata"]["name"]
    changed(found, write)
    text = yaml.dump(found, Dumper=Plain, sort_keys=False, width=1000)
    text = write.filled_into(text).replace("chart-namespace", "{{ .Release.Namespace }}")
    condition = CONDITIONS.get(kind, CONDITIONS.get(f"{kind}.{name}"))
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n" if condition else text


class Plain(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: what stands twice is written twice."""
        return True


def _text(dumper: yaml.Dumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Plain.add_representer(str, _text)


def files() -> dict[str, str]:
    """Return what is generated: path in the chart -> text."""
    notes = (HERE / "NOTES.txt").read_text(encoding="utf-8")
    made = {"templates/configmap-churnhouse-domain.yaml": DOMAIN, "templates/NOTES.txt": notes}
    made["files/rules.yml"] = (MONITORING / "rules.yml").read_text(encoding="utf-8")
    for board in (MONITORING / "dashboards").iterdir():
        made[f"files/churnhouse-{board.name}"] = board.read_text(encoding="utf-8")
    for found in rendered():
        kind, name = found["kind"], found["metadata"]["name"]
        if kind == "Namespace":
            continue  # Helm makes it
        if (kind, name) == ("ConfigMap", "churnhouse-settings"):
            pairs = [f'"{key}" "{value}"' for key, value in sorted(found["data"].items())]
            made["templates/_settings.tpl"] = SETTINGS % " ".join(pairs)
        made[f"templates/{kind.lower()}-{name}.yaml"] = template(found)
    return made


def main() -> None:
    """Write templates/ and files/ anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chart", type=Path, nargs="?", default=CHART)
    chart = parser.parse_args().chart
    for name in ("templates", "files"):
        shutil.rmtree(chart / name, ignore_errors=True)
    for path, text in files().items():
        (chart / path).parent.mkdir(parents=True, exist_ok=True)
        (chart / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
