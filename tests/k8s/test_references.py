"""References between objects are valid: names, labels, ports, rights."""

import pytest
from support.homes import PROJECT
from support.rendered import each_overlay, needs_kubectl, objects, of_kind, pods

pytestmark = needs_kubectl
# An operator makes these; docs/operations.md says how.
SUPPLIED_SECRETS = {"churnhouse-api": {"keys", "session-secret"}, "churnhouse-scrape": {"key"}}


def references(found: object, key: str):
    """Yield every value of a key, at any depth."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == key:
                yield value
            yield from references(value, key)
    elif isinstance(found, list):
        for one in found:
            yield from references(one, key)


@each_overlay
def test_every_object_a_pod_refers_to_exists(overlay: str):
    config, claims = of_kind(overlay, "ConfigMap"), of_kind(overlay, "PersistentVolumeClaim")
    accounts = of_kind(overlay, "ServiceAccount")
    for pod in pods(overlay).values():
        assert pod["spec"]["serviceAccountName"] in accounts
        assert all(one["name"] in config for one in references(pod, "configMapRef"))
        assert all(one["claimName"] in claims for one in references(pod, "persistentVolumeClaim"))
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == volumes, "what is not mounted has no business here"


@each_overlay
def test_secrets_are_supplied_by_operators_and_documented(overlay: str):
    found: dict[str, set] = {}
    for one in objects(overlay):
        for secret in references(one, "secret"):
            keys = {item["key"] for item in secret["items"]}
            found.setdefault(secret["secretName"], set()).update(keys)
        for word in ("secretKeyRef", "credentials"):
            for secret in references(one, word):
                found.setdefault(secret["name"], set()).add(secret["key"])
    needed = dict(SUPPLIED_SECRETS)
    if not of_kind(overlay, "ServiceMonitor"):
        del needed["churnhouse-scrape"]
    assert found == needed
    assert not of_kind(overlay, "Secret"), "a Secret in the repository is none"
    told = (PROJECT / "docs/operations.md").read_text()
    assert all(f"create secret generic {name}" in told for name in SUPPLIED_SECRETS)


@each_overlay
def test_selectors_find_the_api(overlay: str):
    deployment = of_kind(overlay, "Deployment")["churnhouse-api"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    service = of_kind(overlay, "Service")["churnhouse-api"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        *(
            p["spec"]["selector"]["matchLabels"]
            for p in of_kind(overlay, "PodDisruptionBudget").values()
        ),
        *(
            spread["labelSelector"]["matchLabels"]
            for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        ),
        *(
            policy["spec"]["podSelector"]["matchLabels"]
            for name, policy in of_kind(overlay, "NetworkPolicy").items()
            if name != "default-deny"
        ),
    ]
    assert len(selectors) == 7
    others = [
        pod["metadata"]["labels"] for name, pod in pods(overlay).items() if name != "churnhouse-api"
    ]
    for selector in selectors:
        assert selector and selector.items() <= labels.items()
        assert not any(selector.items() <= other.items() for other in others)
    for scaler in of_kind(overlay, "HorizontalPodAutoscaler").values():
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", "churnhouse-api")


@pytest.mark.parametrize("overlay", ["staging", "prod"])
def test_prometheus_scrapes_the_service_under_the_job_name_of_the_alerts(overlay: str):
    (monitor,) = of_kind(overlay, "ServiceMonitor").values()
    service = of_kind(overlay, "Service")["churnhouse-api"]
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [port["name"]]
    (container,) = pods(overlay)["churnhouse-api"]["spec"]["containers"]
    assert port["targetPort"] in [one["name"] for one in container["ports"]]
    (rule,) = of_kind(overlay, "PrometheusRule").values()
    asked = [one["expr"] for group in rule["spec"]["groups"] for one in group["rules"]]
    # without a jobLabel the job has the Service's name
    assert any(f'job="{service["metadata"]["name"]}"' in expression for expression in asked)


@each_overlay
def test_network_allows_only_traffic_into_the_api(overlay: str):
    policies = {n: policy["spec"] for n, policy in of_kind(overlay, "NetworkPolicy").items()}
    deny = policies.pop("default-deny")
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for spec in policies.values():
        assert spec["policyTypes"] == ["Ingress"] and "egress" not in spec
        for rule in spec["ingress"]:
            assert rule["ports"] == [{"port": "http"}]
            assert all(peer.get("namespaceSelector") for peer in rule["from"])


@each_overlay
def test_roles_are_bound_and_grant_only_what_is_documented(overlay: str):
    roles, bindings = of_kind(overlay, "Role"), of_kind(overlay, "RoleBinding")
    assert set(roles) == {f"churnhouse-{who}" for who in ("deployer", "admin", "viewer")}
    assert {binding["roleRef"]["name"] for binding in bindings.values()} == set(roles)
    (namespace,) = of_kind(overlay, "Namespace")
    for subject in references(list(bindings.values()), "subjects"):
        for one in subject:
            if one["kind"] == "ServiceAccount":
                assert one["name"] in of_kind(overlay, "ServiceAccount")
                assert one["namespace"] == namespace
    read = {"get", "list", "watch"}
    for name, role in roles.items():
        for rule in role["rules"]:
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"], name
            if "rbac.authorization.k8s.io" in rule["apiGroups"] or name == "churnhouse-viewer":
                assert set(rule["verbs"]) <= read, name
            if "secrets" in rule["resources"]:
                assert name == "churnhouse-admin"
                assert set(rule["resourceNames"]) == set(SUPPLIED_SECRETS)


@each_overlay
@pytest.mark.parametrize("kind", ["create", "patch"])
def test_deployer_may_apply_everything_except_access_rights(overlay: str, kind: str):
    rules = of_kind(overlay, "Role")["churnhouse-deployer"]["rules"]
    may = {resource for rule in rules if kind in rule["verbs"] for resource in rule["resources"]}
    may_see = {
        resource for rule in rules if "get" in rule["verbs"] for resource in rule["resources"]
    }
    applied = {plural(found["kind"]) for found in objects(overlay)}
    assert applied <= may_see
    assert applied - may == {
        *("namespaces", "resourcequotas", "networkpolicies"),
        *("roles", "rolebindings", "serviceaccounts"),
    }


@each_overlay
def test_deployer_can_neither_read_secrets_nor_logs_nor_open_the_network(overlay: str):
    for rule in of_kind(overlay, "Role")["churnhouse-deployer"]["rules"]:
        resources, verbs = set(rule["resources"]), set(rule["verbs"])
        assert not {"secrets", "pods/log", "pods/exec", "serviceaccounts/token"} & resources
        if {"pods", "networkpolicies"} & resources:
            assert verbs <= {"get", "list", "watch"}


def plural(kind: str) -> str:
    word = kind.lower()
    return word[:-1] + "ies" if word.endswith("y") else word + "es"[word[-1] != "s" :]
