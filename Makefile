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

.PHONY: help run test test-spark lint format unit coverage nightly manifests prometheus-rule test-mlflow bench clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

run: .venv/installed ## The main job: make run [DOMAIN=online_retail RAW=/path/to/files]
	@$(BIN)/churnhouse run --domain $(DOMAIN) $(if $(RAW),--raw $(RAW))

test: lint unit ## Everything that must be green before a change lands.

lint: .venv/installed ## ruff, import-linter, mypy, sqlfluff and yamllint.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 2 --disable-progress-bar models tests/generic tests/gates domains
	$(BIN)/yamllint --strict .

format: .venv/installed ## Format Python and SQL in place.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 --disable-progress-bar models tests/generic tests/gates domains

unit: .venv/installed ## dbt parse, dbt unit tests and pytest (which runs both), on every core.
	$(call counted,unit) $(BIN)/pytest --numprocesses auto --dist loadfile -m "not nightly and not images and not spark"

test-spark: .venv-spark/installed ## The second engine: the main job on a Spark cluster of this machine.
	$(call counted,spark) .venv-spark/bin/pytest -m spark

# Counts what a target's tests run, in all their processes.
define counted
rm -rf build/coverage/$(1) && mkdir -p build/coverage/$(1) && \
  PYTHONPATH=$(CURDIR)/tests/support/coverage COVERAGE_FOLDER=$(CURDIR)/build/coverage/$(1)
endef

coverage: .venv/installed ## What the tests just run did not reach; fails below 90 % of lines and branches.
	$(BIN)/python tests/support/coverage/report_coverage.py build/coverage 90

nightly: .venv/installed ## The exhaustive variants.
	$(BIN)/pytest -m nightly

clean: ## Remove the virtual environment and what dbt left. Data stays.
	rm -rf .venv .venv-tools .venv-mlflow .venv-spark target logs

.venv/installed: requirements.lock pyproject.toml
.venv-spark/installed: requirements-spark.lock pyproject.toml
.venv-mlflow/installed: requirements-mlflow.lock pyproject.toml
.venv/installed .venv-spark/installed .venv-mlflow/installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

manifests: .venv/installed .venv-tools/installed ## Render, validate and judge what Kubernetes is given.
	@command -v kubectl >/dev/null || { echo "kubectl is missing. Next: install it (1.27 or newer)."; exit 1; }
	$(BIN)/pytest tests/k8s

prometheus-rule: ## Write the PrometheusRule object from k8s/monitoring/rules.yml.
	@{ sed '/^spec:/q' $(RULE); sed -n '/^groups:/,$$p' k8s/monitoring/rules.yml | sed 's/^./  &/'; } > $(RULE).new
	@mv $(RULE).new $(RULE)
prometheus-rule: RULE := k8s/base/prometheus-rule.yaml

.venv-tools/installed: requirements-tools.lock
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.lock
	@touch $@

test-mlflow: .venv-mlflow/installed ## Tracking against a real MLflow server.
	$(call counted,mlflow) .venv-mlflow/bin/pytest tests/registry/test_tracking.py


.PHONY: packages sbom audit secrets digest push deploy

packages: ## Debian packages that the tests use: a browser, Java, Prometheus, Alertmanager, tools for images.
	$(if $(filter 0,$(shell id -u)),,sudo )apt-get update -qq
	$(if $(filter 0,$(shell id -u)),,sudo )env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES) >/dev/null
packages: PACKAGES := chromium openjdk-17-jre-headless prometheus prometheus-alertmanager buildah debootstrap

# What is shipped: the locked packages of each image.
IMAGES := churnhouse-ml churnhouse-api
lock_of = docker/requirements-$(patsubst churnhouse-%,%,$(1)).lock

sbom: .venv-tools/installed ## Bills of materials of both images (CycloneDX), in build/.
	@mkdir -p build
	$(foreach image,$(IMAGES),.venv-tools/bin/cyclonedx-py requirements --sv 1.6 --output-reproducible \
	  -o build/$(image).cdx.json $(call lock_of,$(image)) &&) true

# --strict: a package that the service could not be asked about is no success.
audit: .venv-tools/installed ## Known vulnerabilities of what is locked; asks an advisory service.
	@mkdir -p build
	@for lock in $(AUDITED); do \
	  if .venv-tools/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	    -r $$lock >build/audit.txt 2>build/audit.log; then echo "$$lock: no known vulnerabilities"; \
	  elif [ -s build/audit.txt ]; then cat build/audit.txt; \
	    echo "audit: $$lock has known vulnerabilities. Next: raise the versions and compile the lock."; exit 1; \
	  else echo "audit: $$lock could not be audited: $$(tail -n 1 build/audit.log | cut -c 1-200)." \
	    "Next: run it where the advisory service can be asked."; exit 1; fi; done
audit: AUDITED := requirements.lock $(foreach image,$(IMAGES),$(call lock_of,$(image)))

secrets: .venv-tools/installed ## Whether a secret stands in a file that is, or would be, committed.
	git ls-files --cached --others --exclude-standard -z | xargs -0 \
	  .venv-tools/bin/detect-secrets-hook --no-verify --baseline .secrets.baseline

digest: ## Write an image's digest into an overlay: make digest IMAGE=churnhouse-api DIGEST=sha256:...
	@echo "$(DIGEST)" | grep -Eqx 'sha256:[0-9a-f]{64}' && grep -qx -- '  - name: $(IMAGE)' $(OVERLAY_FILE) || \
	  { echo "digest: no digest '$(DIGEST)' or no image '$(IMAGE)' in $(OVERLAY_FILE)." \
	    "Next: make digest IMAGE=churnhouse-api DIGEST=sha256:<64 hex digits> [OVERLAY=prod]."; exit 1; }
	@sed -i '/^  - name: $(IMAGE)$$/,/digest:/s/digest: .*/digest: $(DIGEST)/' $(OVERLAY_FILE)
digest: OVERLAY_FILE = k8s/overlays/$(OVERLAY)/kustomization.yaml

OVERLAY ?= prod

push: ## Push both images to REGISTRY as VERSION; staging and prod then name their digests.
	@test -n "$(REGISTRY)" -a -n "$(VERSION)" || { echo "push: Next: make push REGISTRY=... VERSION=..."; exit 1; }
	set -e; for image in $(IMAGES); do \
	  docker tag $$image $(REGISTRY)/$$image:$(VERSION); \
	  docker push --quiet $(REGISTRY)/$$image:$(VERSION); \
	  digest=$$(docker inspect --format '{{index .RepoDigests 0}}' $(REGISTRY)/$$image:$(VERSION)); \
	  for overlay in staging prod; do \
	    sed -i "s|newName: .*/$$image$$|newName: $(REGISTRY)/$$image|" k8s/overlays/$$overlay/kustomization.yaml; \
	    $(MAKE) --no-print-directory digest OVERLAY=$$overlay IMAGE=$$image DIGEST=$${digest#*@}; done; done

deploy: ## Apply OVERLAY to the cluster that kubectl knows, and wait until the API has changed over.
	kubectl -n $(NAMESPACE) delete job churnhouse-seed-model --ignore-not-found
	kubectl apply -k k8s/overlays/$(OVERLAY)
	kubectl -n $(NAMESPACE) rollout status deployment/churnhouse-api --timeout=15m
deploy: NAMESPACE = $(shell sed -n 's/^namespace: //p' k8s/overlays/$(OVERLAY)/kustomization.yaml)

.PHONY: images test-images

images: ## Build both images, labelled with version and commit: make images [ENGINE=podman VERSION=1.2.3]
	set -e; for image in $(IMAGES); do $(ENGINE) build --file docker/Dockerfile.$${image#churnhouse-} \
	  --build-arg VERSION=$(or $(VERSION),$(PROJECT_VERSION)) --build-arg COMMIT=$$(git rev-parse HEAD) \
	  --tag $$image .; done
images: ENGINE ?= docker
images: export BUILDAH_FORMAT = docker
images: PROJECT_VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

test-images: .venv/installed ## Build both images without an engine and run them, jobs of a week included. Needs root.
	$(BIN)/pytest tests/images
