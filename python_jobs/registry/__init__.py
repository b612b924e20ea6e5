"""The registry: model versions, promotion, approvals, reports."""
